"""Asks servers, and waits for all of them to come back: a batch has time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from time import monotonic

from vfnet_batch.settings import ServerSettings
from vfnet_client.async_client import AsyncVFNetClient
from vfnet_client.commands.tiling_options import note_on_training
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.detections import Detections
from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)
from vfnet_client.retry_policy import jittered
from vfnet_tiling.tiling import Tiling

BATCH_PRIORITY = 2
"""Of Triton's two levels the one that waits; interactive requests have 1."""
_TRIES = 3
_BUSY_PAUSE_S = 5.0
_LOOK_EVERY_S = 1.0


class ServedDetector:
    """See `vfnet_batch.shard_scoring.Detector`. To be used by one event loop.

    Which server is asked, and which is left out for a while, is `vfnet_client.servers.pool`'s affair.

    Args:
        servers: of one model, however often it is served; `patience` is for the time that all of them are away.
        concurrency: images in flight at once; tiles, where there is a tiling.
        say: takes a sentence about a server that went or came, and its level.
        ending: why no server can come back, once that is so.
        tiling: see `vfnet_batch.settings.BatchSettings`.
    """

    def __init__(
        self,
        servers: ServerSettings,
        concurrency: int,
        options: DetectionOptions,
        say: Callable[[str, str], None],
        ending: Callable[[], str | None] = lambda: None,
        tiling: Tiling | None = None,
    ) -> None:
        self._tiling = tiling
        self._options, self._patience, self._say, self._ending = asdict(options), servers.patience, say, ending
        self._client = AsyncVFNetClient(
            servers.urls,  # several, also where it is one: so that it is left out, and told of, as others are
            concurrency,
            servers.timeout,
            retries=servers.retries,
            credentials=servers.credentials,
            priority=BATCH_PRIORITY,
            on_server=self._tell,
            model=servers.model,
        )
        self._last_answer = monotonic()

    async def check(self) -> None:
        """Prove each server with a real inference.

        Raises:
            VFNetClientError: of a server that does not work, in its own words.
        """
        await self._client.check()

    async def note_on_training(self) -> str | None:
        """What to say of a network that was trained in tiles and is asked in none; None: nothing."""
        if self._tiling is not None:
            return None
        try:
            return note_on_training(await self._client.trained_tiling())
        except VFNetClientError:  # it comes back, or is told of when it is asked for an image
            return None

    async def detect(self, encoded: bytes) -> Detections:
        """Detect on one image, waiting for servers that are away.

        What fails on servers that work is tried again, and is then the image's own fault.

        Raises:
            InvalidImageError, RequestError, InferenceError, DeadlineExceededError: about this image.
            ServerUnavailableError, ServerBusyError, AccessDeniedError, InvalidOptionsError: about all of them.
        """
        failures = 0
        while True:
            try:
                found = await self._client.detect(encoded, **self._options, tiling=self._tiling)
                self._last_answer = monotonic()
                return found
            except ServerUnavailableError as error:
                await self._await_a_server(error)
            except ServerBusyError as error:
                if monotonic() - self._last_answer > self._patience:
                    raise
                await asyncio.sleep(jittered(_BUSY_PAUSE_S, error.retry_after))
            except (InferenceError, DeadlineExceededError) as error:
                failures += 1
                await self._await_a_server(error)
                if failures == _TRIES:
                    raise

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def _await_a_server(self, reason: VFNetClientError) -> None:
        """Until one gets images.

        Raises:
            ServerUnavailableError: none can come back, or all were away for too long.
        """
        gone_at = monotonic()
        while not await self._client.has_a_server(min(_LOOK_EVERY_S, self._patience)):
            if (ending := self._ending()) is not None:
                raise ServerUnavailableError(ending)
            if monotonic() - max(gone_at, self._last_answer) >= self._patience:
                raise ServerUnavailableError(f"{reason}; it did not come back within {self._patience:g} s")

    def _tell(self, url: str, reason: VFNetClientError | None) -> None:
        if reason is None:
            self._say(f"{url} is back", "INFO")
        else:
            self._say(f"{reason}; waiting for it", "WARNING")
