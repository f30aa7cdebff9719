"""Several servers of one model as one transport: the least busy first, and on with another where one fails or lags.

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
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vfnet_client.contract import ScoreReply
from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    ModelProcessDiedError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.retry_policy import Deadline, jittered, proof_picture
from vfnet_client.server_errors import deadline_exceeded
from vfnet_client.servers.addresses import Resolve, ServerAddresses
from vfnet_client.servers.pooled_server import LONGEST_PAUSE_S, PooledServer
from vfnet_client.transport import Transport

if TYPE_CHECKING:
    from vfnet_client.score_endpoint import ScoreEndpoint

T = TypeVar("T")
Ask = Callable[[Transport, float | None], Coroutine[Any, Any, T]]
"""Asks one server, within so many seconds."""
Told = Callable[[str, VFNetClientError | None], None]
"""Takes a server's URL, and why it was left out; None: it is back."""

MOST_FAILURES = 5
"""Errors in a row; Envoy's `consecutive_5xx`."""
PROOF_TIMEOUT_S = 10.0
LOOK_EVERY_S, LOOK_UP_EVERY_S = 0.2, 5.0
_LONGEST_PAUSE_OF_THE_LAST_S = 1.0
"""Between tries of each server while none is in."""
_OWN_PAUSE_S = 1.0
"""Whoever looks so late was not running itself, and cannot blame servers for it."""
SHORTEST_LAG_S, LAG_BEFORE_ANY_IS_KNOWN_S, LAG_FACTOR = 2.0, 10.0, 4.0
"""A server lags that is silent for so many times the longest silence of late, and for so long at least."""
_KNOWN_FROM, _SILENCES_KEPT = 10, 200
_ABANDONED_AT_MOST_S = 60.0
"""How long a server may go on with what another has answered: then the call is given up."""
_ELSEWHERE_AFTER_ERRORS = 2
"""Servers that an image is asked of which fail with it: then it is the image."""


class ServerPool:
    """See `vfnet_client.transport.Transport`. To be used by one event loop.

    Args:
        urls: of servers, and `dns:///name:port` for all addresses of a name, which is looked up every five seconds.
        open_one: a transport to one server.
        told: is told, in the event loop, of each server that is left out, and when it is back.
        resolve: how a name is looked up.

    Raises:
        ValueError: as `ServerAddresses`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        open_one: Callable[[str], Transport],
        *,
        told: Told | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._name = ", ".join(urls)
        self._addresses = ServerAddresses(urls, resolve)
        self._open_one = open_one
        self.told: list[Told] = [] if told is None else [told]
        self.priority = 0
        """Of the good pictures, as of `infer`."""
        self._servers: dict[str, PooledServer] = {}
        self._silences: deque[float] = deque(maxlen=_SILENCES_KEPT)
        """Seconds between answers of a server that had images."""
        self._changed: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._proofs: dict[PooledServer, asyncio.Task[VFNetClientError | None]] = {}
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

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """See `Transport.infer`. Raises what the last server said that was asked, where none answers."""

        async def ask(transport: Transport, left: float | None) -> dict[str, Any]:
            return await transport.infer(
                image, score_threshold=score_threshold, outputs=outputs, timeout=left, priority=priority
            )

        return await self._ask(ask, timeout)

    async def post(self, body: bytes, *, timeout: float | None = None) -> ScoreReply:
        """See `ScoreEndpoint.post`, where all servers are such."""

        async def ask(transport: Transport, left: float | None) -> ScoreReply:
            return await cast("ScoreEndpoint", transport).post(body, timeout=left)

        return await self._ask(ask, timeout)

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`: whether one that is in says so."""
        try:
            await self._open()
        except ServerUnavailableError:
            return False
        asked = [
            asyncio.ensure_future(server.transport.is_ready(timeout=timeout)) for server in self.servers if server.is_in
        ]
        try:
            for answer in asyncio.as_completed(asked):
                if await answer:
                    return True
            return False
        finally:
            for each in asked:
                each.cancel()

    async def check(self) -> None:
        """Prove each server with a real inference.

        Raises:
            VFNetClientError: of a server that does not work, in its own words.
        """
        await self._open()
        for server in self.servers:
            error = await self._prove(server)
            if error is not None:
                raise error

    async def has_one_in(self, within: float) -> bool:
        """Whether a server gets images, after waiting at most so many seconds; a suspect first proves itself."""
        try:
            await self._open()
            async with asyncio.timeout(within):
                if self._proofs:
                    await asyncio.wait(list(self._proofs.values()))
                while not any(server.is_in for server in self.servers):
                    await asyncio.wait({self._next_change()})
        except (TimeoutError, ServerUnavailableError):
            return any(server.is_in for server in self.servers)
        return True

    async def close(self) -> None:
        """See `Transport.close`. What is in flight is cancelled."""
        self._is_closed = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self.servers:
            await server.transport.close()
        self._servers.clear()

    async def _ask(self, ask: Ask[T], timeout: float | None) -> T:
        deadline = Deadline.after(timeout)
        await self._open()
        asked, attempts = set[PooledServer](), dict[asyncio.Task[T], PooledServer]()
        failure: VFNetClientError | None = None
        errors = 0
        try:
            while True:
                if not any(server.is_in for server in attempts.values()):
                    server = self._least_busy(asked, is_refused=isinstance(failure, ServerBusyError))
                    if server is not None:
                        asked.add(server)
                        attempts[self._begin(server, ask(server.transport, deadline.remaining()))] = server
                    elif not attempts:
                        raise failure or self._nobody()
                waited: set[asyncio.Future[Any]] = {*attempts, self._next_change()}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in attempts if task.done()]:
                    del attempts[task]
                    try:
                        return task.result()
                    except (ModelProcessDiedError, DeadlineExceededError):
                        raise  # it may be this very image that kills; and it is too late
                    except (ServerUnavailableError, ServerBusyError) as error:
                        failure = error
                    except InferenceError as error:
                        failure = error
                        errors += 1
                        if errors == _ELSEWHERE_AFTER_ERRORS:
                            raise
        except asyncio.CancelledError:  # perhaps because a deadline passed
            for task, server in attempts.items():
                since = server.silent_since()
                if since is not None and monotonic() - since > SHORTEST_LAG_S:
                    self._suspect(server)
                task.cancel()
            raise
        finally:
            for task in attempts:
                self._abandon(task)

    def _least_busy(self, asked: set[PooledServer], *, is_refused: bool) -> PooledServer | None:
        """Of those that are in and were not asked yet; one that was refused goes to nobody who is full, too."""
        there = [
            server
            for server in self._servers.values()
            if server.is_in and server not in asked and not (is_refused and server.is_full)
        ]
        return min(there, key=lambda server: (server.is_full, server.in_flight, random.random()), default=None)

    def _nobody(self) -> ServerUnavailableError:
        """What is wrong with the servers, in the words of the first; never that an image was in one that died."""
        reasons = [server.left_out for server in self.servers if server.left_out is not None]
        if reasons and all(isinstance(reason, WrongServerError) for reason in reasons):
            return WrongServerError(str(reasons[0]))
        if reasons and isinstance(reasons[0], ServerUnavailableError):
            return ServerUnavailableError(str(reasons[0]))
        return ServerUnavailableError(f"no VFNet is ready at {self._name}: {reasons[0] if reasons else 'none is left'}")

    def _begin(self, server: PooledServer, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(call)
        server.begins()

        def ended(_: asyncio.Task[T]) -> None:
            self._note(server, task)
            server.ended()

        task.add_done_callback(ended)
        return task

    def _note(self, server: PooledServer, task: asyncio.Task[Any]) -> None:
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
        if not server.is_in or server in self._proofs:
            return

        def look(proof: asyncio.Task[VFNetClientError | None]) -> None:
            error = None if proof.cancelled() else proof.result()
            if error is not None:
                self._leave_out(server, error)

        self._proof(server).add_done_callback(look)

    async def _prove(self, server: PooledServer) -> VFNetClientError | None:
        """What is wrong with a server, by a picture known to be good."""
        return await asyncio.shield(self._proof(server))

    def _proof(self, server: PooledServer) -> asyncio.Task[VFNetClientError | None]:
        """One at a time for all who want to know."""
        if (proof := self._proofs.get(server)) is None:
            proof = self._proofs[server] = self._keep(self._proof_of(server))
            proof.add_done_callback(lambda _: self._proofs.pop(server, None))
        return proof

    async def _proof_of(self, server: PooledServer) -> VFNetClientError | None:
        # Without a time-out of its own, which would cancel it at Triton: see `vfnet_gateway.ensemble`.
        began = monotonic()
        task = asyncio.create_task(server.transport.infer(proof_picture(), priority=self.priority))
        try:
            await asyncio.wait({task}, timeout=PROOF_TIMEOUT_S)
        finally:
            self._abandon(task)
        if not task.done():  # where others are answered, it waits behind them
            return None if server.answered_at > began else deadline_exceeded(server.url, PROOF_TIMEOUT_S)
        try:
            task.result()
        except ServerBusyError:  # others are served there
            pass
        except VFNetClientError as error:
            return error
        server.answered_at = monotonic()
        return None

    def _leave_out(self, server: PooledServer, reason: VFNetClientError) -> None:
        if not server.is_in or self._is_closed:
            return
        pause = server.leave_out(reason)
        self._tell(server.url, reason)
        self._keep(self._await_return(server, pause))
        if self._addresses.can_change:
            self._looked_up_at = 0.0  # it may have gone for good, and another may be there

    async def _await_return(self, server: PooledServer, pause: float) -> None:
        while not server.is_gone and server.left_out is not None:
            await asyncio.sleep(jittered(pause))
            if server.left_out is None:
                return
            if await self._prove(server) is None:
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
        for told in self.told:
            told(url, reason)

    def _next_change(self) -> asyncio.Future[None]:
        """Done when the next server is left out, comes back or is added."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    async def _open(self) -> None:
        """Find the servers, the first time; all are believed to work."""
        if self._servers:
            return
        async with self._opening:
            if not self._servers:
                for url in await self._addresses.find():
                    self._servers[url] = PooledServer(url, self._open_one(url))
                self._looked_up_at = monotonic()
                self._keep(self._look_after())
                for url in self._servers if self._addresses.can_change else ():
                    self._tell(url, None)

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
                self._keep(self._await_return(server, 0.0))
        for url in [url for url in self._servers if url not in found]:
            server = self._servers.pop(url)
            server.is_gone = True
            self._keep(self._let_go(server))
            self._tell(url, ServerUnavailableError(f"{url} is none of the addresses of {self._name} any more"))

    async def _let_go(self, server: PooledServer) -> None:
        try:
            async with asyncio.timeout(_ABANDONED_AT_MOST_S):
                while server.in_flight:
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            pass
        finally:
            await server.transport.close()

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside the rest until it ends, or the pool is closed: in nobody's trace."""
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        """Nobody waits for it any more; it is not cancelled, which some versions of Triton do not survive."""
        if task.done():
            if not task.cancelled():
                task.exception()  # it may be looked at or not
            return
        limit = asyncio.get_running_loop().call_later(_ABANDONED_AT_MOST_S, task.cancel)
        self._tasks.add(task)

        def ended(_: asyncio.Task[Any]) -> None:
            limit.cancel()
            self._tasks.discard(task)
            if not task.cancelled():
                task.exception()  # which concerns nobody any more

        task.add_done_callback(ended)


class _LagError(ServerUnavailableError):
    """It may only have been slow: any answer lets it in again."""
