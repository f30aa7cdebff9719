"""Several servers that may go away and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from vfnet_client.async_client import AsyncVFNetClient
from vfnet_client.commands.health import generated_picture
from vfnet_client.detections import Detections
from vfnet_client.exceptions import (
    DeadlineExceededError,
    FatalImageError,
    InferenceError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)
from vfnet_client.images import encode_png
from vfnet_client.retry_policy import jittered

BATCH_PRIORITY = 2
"""Of Triton's two levels the one that waits; interactive requests have 1."""
_TRIES = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_PROVEN_FOR_S = 1.0


class _Server:
    def __init__(self, client: AsyncVFNetClient) -> None:
        self.client = client
        self.in_flight = 0
        self.is_there = True
        self.proven_at = -1e9
        self.proving = asyncio.Lock()


class ServerPool:
    """Detects with whichever server has least to do. To be used by one event loop.

    Args:
        clients: of one model, however often it is served.
        patience: seconds that every server may be away before the batch ends.
        say: takes a sentence about a server that went or came.
        ending: why no server can come back, once that is so.
    """

    def __init__(
        self,
        clients: Sequence[AsyncVFNetClient],
        score_threshold: float | None,
        patience: float,
        say: Callable[[str], None],
        ending: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._servers = [_Server(client) for client in clients]
        self._threshold, self._patience, self._say, self._ending = score_threshold, patience, say, ending
        self._picture = encode_png(generated_picture())
        self._last_answer = monotonic()
        self._changed = asyncio.Condition()
        self._lost: VFNetClientError | None = None
        self._returning = set[asyncio.Task[None]]()

    async def check(self) -> None:
        """Prove each server with a real inference.

        Raises:
            VFNetClientError: of a server that does not work, in its own words.
        """
        for server in self._servers:
            await server.client.detect(self._picture)

    async def detect(self, encoded: bytes) -> Detections:
        """Detect on one image, waiting for servers that are away.

        What fails on a server that works is tried again, and is then the image's own fault.

        Raises:
            InvalidImageError, RequestError, InferenceError, DeadlineExceededError: about this image.
            ServerUnavailableError, ServerBusyError, AccessDeniedError: about all of them.
        """
        failures = 0
        while True:
            server = await self._least_busy()
            server.in_flight += 1
            try:
                found = await server.client.detect(encoded, score_threshold=self._threshold)
                self._last_answer = monotonic()
                return found
            except ModelProcessDiedError as error:  # the image itself may be the killer
                failures += 1
                self._lose(server, error)
                if failures == _TRIES:
                    await self._least_busy()
                    raise FatalImageError(f"a model's process died each of the {failures} times") from error
            except ServerUnavailableError as error:
                self._lose(server, error)
            except ServerBusyError as error:
                if monotonic() - self._last_answer > self._patience:
                    raise
                await asyncio.sleep(jittered(_LONGEST_PAUSE_S, error.retry_after))
            except (InferenceError, DeadlineExceededError) as error:
                failures += 1
                if server.is_there and not await self._works(server):
                    self._lose(server, error)
                await self._least_busy()
                if failures == _TRIES:
                    raise
            finally:
                server.in_flight -= 1

    async def close(self) -> None:
        """Give the connections back."""
        for task in self._returning:
            task.cancel()
        for server in self._servers:
            await server.client.close()

    async def _least_busy(self) -> _Server:
        async with self._changed:
            while True:
                if self._lost is not None:
                    raise self._lost
                there = [server for server in self._servers if server.is_there]
                if there:
                    return min(there, key=lambda server: server.in_flight)
                await self._changed.wait()

    def _lose(self, server: _Server, reason: VFNetClientError) -> None:
        if not server.is_there:
            return
        server.is_there = False
        self._say(f"{reason}; waiting for it")
        task = asyncio.create_task(self._await_return(server, reason))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _await_return(self, server: _Server, reason: VFNetClientError) -> None:
        pause, gone_at = _FIRST_PAUSE_S, monotonic()
        while not await self._works(server):
            if (ending := self._ending()) is not None:
                self._lost = ServerUnavailableError(ending)
                break
            silent_since = max(gone_at, self._last_answer)
            if monotonic() - silent_since > self._patience and not any(each.is_there for each in self._servers):
                self._lost = ServerUnavailableError(f"{reason}; it did not come back within {self._patience:g} s")
                break
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        else:
            server.is_there = True
            self._say(f"{server.client.server} is back")
        async with self._changed:
            self._changed.notify_all()

    async def _works(self, server: _Server) -> bool:
        """Whether a picture known to be good is answered, now or a moment ago."""
        async with server.proving:
            if monotonic() - server.proven_at < _PROVEN_FOR_S:
                return True
            try:
                await server.client.detect(self._picture)
            except VFNetClientError:
                return False
            server.proven_at = monotonic()
            return True
