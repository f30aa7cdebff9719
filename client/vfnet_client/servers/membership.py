"""Which servers get images: found by their addresses, left out when they fail or lag, and let in again.

What becomes of a server, in the words of Envoy's outlier detection, whose default of five failures is kept:

* A lost or refused connection, a model that is not there or has lost its process: it is left out at once.
* Errors and answers out of time may be the image's fault: the server has to prove itself with a good picture, and is
  left out when it cannot, or after five such in a row, however well it does with the picture.
* A server that has images and answers nothing, while others answer, for longer than they ever took, lags: it is left
  out, and what it has is asked elsewhere, too. Whoever answers first is right. Others that have nothing to answer are
  sent a good picture for that.

A server that is left out is tried again with a good picture after a pause that grows, and gets images once it has
answered that. There is no largest share of servers that may be left out: when all are, whoever asks is told, and
`RetryPolicy` asks again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.retry_policy import jittered
from vfnet_client.servers.addresses import Resolve, ServerAddresses
from vfnet_client.servers.kept_tasks import ABANDONED_AT_MOST_S, KeptTasks
from vfnet_client.servers.pooled_server import LONGEST_PAUSE_S, PooledServer
from vfnet_client.servers.proofs import Proofs
from vfnet_client.transport import Transport

Told = Callable[[str, VFNetClientError | None], None]
"""Takes a server's URL, and why it was left out; None: it is back."""

MOST_FAILURES = 5
"""Errors in a row; Envoy's `consecutive_5xx`."""
LOOK_EVERY_S, LOOK_UP_EVERY_S = 0.2, 5.0
_LONGEST_PAUSE_OF_THE_LAST_S = 1.0
"""Between tries of each server while none is in."""
_OWN_PAUSE_S = 1.0
"""Whoever looks so late was not running itself, and cannot blame servers for it."""
SHORTEST_LAG_S, LAG_BEFORE_ANY_IS_KNOWN_S, LAG_FACTOR = 2.0, 10.0, 4.0
"""A server lags that is silent for so many times the longest silence of late, and for so long at least."""
_KNOWN_FROM, _SILENCES_KEPT = 10, 200


class Membership:
    """To be used by one event loop.

    Args:
        urls, resolve: see `ServerAddresses`.
        open_one: a transport to one server.
        tasks: what is to be done beside the asking.
        told: see `ServerPool`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        open_one: Callable[[str], Transport],
        tasks: KeptTasks,
        told: list[Told],
        resolve: Resolve | None = None,
    ) -> None:
        self._name = ", ".join(urls)
        self._addresses = ServerAddresses(urls, resolve)
        self._open_one, self._tasks, self._told = open_one, tasks, told
        self.proofs = Proofs(tasks)
        self._servers: dict[str, PooledServer] = {}
        self._silences: deque[float] = deque(maxlen=_SILENCES_KEPT)
        """Seconds between answers of a server that had images."""
        self._changed: asyncio.Future[None] | None = None
        self._opening = asyncio.Lock()
        self._looked_up_at = 0.0
        self._is_closed = False

    @property
    def servers(self) -> list[PooledServer]:
        """All that there are now, also those left out; none before the first call."""
        return list(self._servers.values())

    @property
    def number_in(self) -> int:
        """Servers that get images; before the first call, those that were named."""
        return sum(server.is_in for server in self._servers.values()) if self._servers else len(self._addresses)

    async def open(self) -> None:
        """Find the servers, the first time; all are believed to work."""
        if self._servers:
            return
        async with self._opening:
            if not self._servers:
                for url in await self._addresses.find():
                    self._servers[url] = PooledServer(url, self._open_one(url))
                self._looked_up_at = monotonic()
                self._tasks.keep(self._look_after())
                for url in self._servers if self._addresses.can_change else ():
                    self._tell(url, None)

    def nobody(self) -> ServerUnavailableError:
        """What is wrong with the servers, in the words of the first; never that an image was in one that died."""
        reasons = [server.left_out for server in self.servers if server.left_out is not None]
        if reasons and all(isinstance(reason, WrongServerError) for reason in reasons):
            return WrongServerError(str(reasons[0]))
        if reasons and isinstance(reasons[0], ServerUnavailableError):
            return ServerUnavailableError(str(reasons[0]))
        return ServerUnavailableError(f"no VFNet is ready at {self._name}: {reasons[0] if reasons else 'none is left'}")

    def note(self, server: PooledServer, task: asyncio.Task[Any]) -> None:
        """What an answer, or that there is none, says of its server."""
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, ServerBusyError):
            server.refused()
        elif error is None or isinstance(error, InvalidImageError | RequestError):
            was_out = server.left_out is not None
            silence = server.answered()
            if not was_out:
                self._silences.append(silence)
            elif isinstance(server.left_out, _LagError | DeadlineExceededError):
                self._let_in(server)
        elif isinstance(error, ServerUnavailableError):
            self._leave_out(server, error)
        elif isinstance(error, InferenceError | DeadlineExceededError):
            server.failures += 1
            if server.failures >= MOST_FAILURES and self.number_in > 1:
                self._leave_out(server, error)
            else:
                self._suspect(server)

    def _suspect(self, server: PooledServer) -> None:
        """Have it prove itself, beside everything else."""
        if not server.is_in or server in self.proofs.under_way:
            return

        def look(proof: asyncio.Task[VFNetClientError | None]) -> None:
            error = None if proof.cancelled() else proof.result()
            if error is not None:
                self._leave_out(server, error)

        self.proofs.begin(server).add_done_callback(look)

    def _leave_out(self, server: PooledServer, reason: VFNetClientError) -> None:
        if not server.is_in or self._is_closed:
            return
        pause = server.leave_out(reason)
        self._tell(server.url, reason)
        self._tasks.keep(self._await_return(server, pause))
        if self._addresses.can_change:
            self._looked_up_at = 0.0  # it may have gone for good, and another may be there

    async def _await_return(self, server: PooledServer, pause: float) -> None:
        while not server.is_gone and server.left_out is not None:
            await asyncio.sleep(jittered(pause))
            if server.left_out is None:
                return
            if await self.proofs.prove(server) is None:
                self._let_in(server)
                return
            is_last = not any(each.is_in for each in self.servers)
            pause = min(2 * pause, _LONGEST_PAUSE_OF_THE_LAST_S if is_last else LONGEST_PAUSE_S)

    def _let_in(self, server: PooledServer) -> None:
        if server.left_out is not None and not server.is_gone:
            server.let_in()
            self._tell(server.url, None)

    def _tell(self, url: str, reason: VFNetClientError | None) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        for told in self._told:
            told(url, reason)

    def next_change(self) -> asyncio.Future[None]:
        """Done when the next server is left out, comes back or is added."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    async def _look_after(self) -> None:
        looked_at = monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = monotonic()
            if now - looked_at > _OWN_PAUSE_S:
                for server in self.servers:
                    server.forget_silence()
            looked_at = now
            self._look_for_lag(now)
            if self._addresses.can_change and now - self._looked_up_at > LOOK_UP_EVERY_S:
                self._looked_up_at = now
                with suppress(ServerUnavailableError):
                    self._update(await self._addresses.find())

    def _look_for_lag(self, now: float) -> None:
        longest = self.longest_silence()
        for server in [server for server in self.servers if server.is_in]:
            since = server.silent_since()
            if since is None or now - since <= longest:
                continue
            others = [other for other in self.servers if other.is_in and other is not server]
            if any(other.answered_at > since for other in others):
                self._leave_out(server, _LagError(f"{server.url} has answered nothing for {now - since:.1f} s"))
            elif idle := [other for other in others if not other.in_flight]:
                self._suspect(idle[0])  # it has had nothing to answer

    def longest_silence(self) -> float:
        """Seconds without an answer that a server with images may take."""
        if len(self._silences) < _KNOWN_FROM:
            return LAG_BEFORE_ANY_IS_KNOWN_S
        return max(SHORTEST_LAG_S, LAG_FACTOR * max(self._silences))

    def _update(self, urls: Iterable[str]) -> None:
        """A server that is new proves itself first; one that is gone finishes what it has."""
        found = list(urls)
        for url in found:
            if url not in self._servers:
                server = self._servers[url] = PooledServer(url, self._open_one(url))
                server.left_out = ServerUnavailableError(f"{url} is new")
                self._tasks.keep(self._await_return(server, 0.0))
        for url in [url for url in self._servers if url not in found]:
            server = self._servers.pop(url)
            server.is_gone = True
            self._tasks.keep(self._let_go(server))
            self._tell(url, ServerUnavailableError(f"{url} is none of the addresses of {self._name} any more"))

    async def _let_go(self, server: PooledServer) -> None:
        try:
            async with asyncio.timeout(ABANDONED_AT_MOST_S):
                while server.in_flight:
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            pass
        finally:
            await server.transport.close()

    def suspect_if_silent(self, server: PooledServer) -> None:
        """A caller went while it waited for a server: perhaps because a deadline passed."""
        since = server.silent_since()
        if since is not None and monotonic() - since > SHORTEST_LAG_S:
            self._suspect(server)

    def begin_to_close(self) -> None:
        """From now on nothing is left out."""
        self._is_closed = True

    async def close(self) -> None:
        """Give the connections back; when nothing is in flight."""
        for server in self.servers:
            await server.transport.close()
        self._servers.clear()


class _LagError(ServerUnavailableError):
    """It may only have been slow: any answer lets it in again."""
