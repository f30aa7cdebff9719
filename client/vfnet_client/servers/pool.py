"""Several servers of one model as one transport: the least busy first, and on with another where one fails or lags.

`membership` knows which servers get images. There is no largest share of servers that may be left out: when all are,
whoever asks is told, and `RetryPolicy` asks again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vfnet_client.contract import ScoreReply
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)
from vfnet_client.retry_policy import Deadline
from vfnet_client.servers.addresses import Resolve
from vfnet_client.servers.kept_tasks import KeptTasks
from vfnet_client.servers.membership import Membership, Told
from vfnet_client.servers.pooled_server import PooledServer
from vfnet_client.transport import Transport

if TYPE_CHECKING:
    from vfnet_client.score_endpoint import ScoreEndpoint

T = TypeVar("T")
Ask = Callable[[Transport, float | None], Coroutine[Any, Any, T]]
"""Asks one server, within so many seconds."""
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
        self.told: list[Told] = [] if told is None else [told]
        self._tasks = KeptTasks()
        self._membership = Membership(urls, open_one, self._tasks, self.told, resolve)

    @property
    def servers(self) -> list[PooledServer]:
        """All that there are now, also those left out; none before the first call."""
        return self._membership.servers

    @property
    def number_in(self) -> int:
        """Servers that get images; before the first call, those that were named."""
        return self._membership.number_in

    @property
    def priority(self) -> int:
        """Of the good pictures, as of `infer`."""
        return self._membership.proofs.priority

    @priority.setter
    def priority(self, priority: int) -> None:
        self._membership.proofs.priority = priority

    async def infer(
        self,
        image: bytes,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """See `Transport.infer`. Raises what the last server said that was asked, where none answers."""

        async def ask(transport: Transport, left: float | None) -> dict[str, Any]:
            return await transport.infer(image, options=options, outputs=outputs, timeout=left, priority=priority)

        return await self._ask(ask, timeout)

    async def post(self, body: bytes, *, timeout: float | None = None) -> ScoreReply:
        """See `ScoreEndpoint.post`, where all servers are such."""

        async def ask(transport: Transport, left: float | None) -> ScoreReply:
            return await cast("ScoreEndpoint", transport).post(body, timeout=left)

        return await self._ask(ask, timeout)

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`: whether one that is in says so."""
        try:
            await self._membership.open()
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
        await self._membership.open()
        for server in self.servers:
            error = await self._membership.proofs.prove(server)
            if error is not None:
                raise error

    async def has_one_in(self, within: float) -> bool:
        """Whether a server gets images, after waiting at most so many seconds; a suspect first proves itself."""
        try:
            await self._membership.open()
            async with asyncio.timeout(within):
                if proofs := self._membership.proofs.under_way:
                    await asyncio.wait(list(proofs.values()))
                while not any(server.is_in for server in self.servers):
                    await asyncio.wait({self._membership.next_change()})
        except (TimeoutError, ServerUnavailableError):
            return any(server.is_in for server in self.servers)
        return True

    async def close(self) -> None:
        """See `Transport.close`. What is in flight is cancelled."""
        self._membership.begin_to_close()
        await self._tasks.close()
        await self._membership.close()

    async def _ask(self, ask: Ask[T], timeout: float | None) -> T:
        deadline = Deadline.after(timeout)
        await self._membership.open()
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
                        raise failure or self._membership.nobody()
                waited: set[asyncio.Future[Any]] = {*attempts, self._membership.next_change()}
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
                self._membership.suspect_if_silent(server)
                task.cancel()
            raise
        finally:
            for task in attempts:
                self._tasks.abandon(task)

    def _least_busy(self, asked: set[PooledServer], *, is_refused: bool) -> PooledServer | None:
        """Of those that are in and were not asked yet; one that was refused goes to nobody who is full, too."""
        there = [
            server
            for server in self.servers
            if server.is_in and server not in asked and not (is_refused and server.is_full)
        ]
        return min(there, key=lambda server: (server.is_full, server.in_flight, random.random()), default=None)

    def _begin(self, server: PooledServer, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(call)
        server.begins()

        def ended(_: asyncio.Task[T]) -> None:
            self._membership.note(server, task)
            server.ended()

        task.add_done_callback(ended)
        return task
