"""From a request as understood to its answer: images into the ensemble, results back in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vfnet_client import contract
from vfnet_client.contract import ImageURL, ScoreRequest
from vfnet_client.exceptions import (
    DeadlineExceededError,
    FatalImageError,
    InvalidImageError,
    ServerUnavailableError,
)
from vfnet_client.retry_policy import Deadline
from vfnet_client.safe_text import printable_line
from vfnet_client.tiled_detection import OUTPUTS, Encode, SuppressionTerms
from vfnet_gateway.admission import Priority, RequestPlaces
from vfnet_gateway.service_levels import ServiceLevels
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.steps import FETCH, IMAGE, step
from vfnet_gateway.tiled_scoring import TiledRequest, TiledScoring
from vfnet_gateway.traffic.deployments import Destination
from vfnet_tiling.tiling import Tiling

Fetch = Callable[[str], Awaitable[bytes]]
_DECODE_ON_A_THREAD_FROM = 1 << 20
"""Characters of base64; fewer take less than two milliseconds."""
_LONGEST_REASON = 300
"""Characters."""
_MOMENT_S = 0.1
"""By which an image's own deadline comes before its request's, because it knows better what there is to say."""


@dataclass
class Answers:
    """What became of the images of one request, in its order."""

    results: list[bytes | None]
    """Triton's `DETECTIONS`; None where there is a reason instead."""
    reasons: dict[int, str] = field(default_factory=dict)
    """By position, why an image could not be read."""
    tiles: int = 0
    """Of the images that were answered."""
    has_failed_images: bool = False
    """Whether one of these ended the model's process each time that it had it."""


@dataclass
class _Batch:
    """One request at work."""

    request: ScoreRequest
    destination: Destination
    places: RequestPlaces
    deadline: Deadline
    answers: Answers
    window: asyncio.Semaphore
    """Tiles in the ensemble at once; images are bounded by how many are at work."""
    tiled: TiledRequest


class Scorer:
    """Runs requests in the ensemble. To be used by one event loop."""

    def __init__(self, settings: GatewaySettings, fetch: Fetch, levels: ServiceLevels) -> None:
        self.settings, self._fetch, self._levels = settings, fetch, levels
        # As many fetched images are in memory as there are places to send them to.
        self._fetches = asyncio.Semaphore(settings.max_in_flight)
        self._tiled = TiledScoring(settings)

    async def answer(
        self, request: ScoreRequest, destination: Destination, priority: Priority = Priority.INTERACTIVE
    ) -> Answers:
        """Detect on the images of one request, a bounded window of them at once.

        Cancelling it drops what is not yet sent; see `Ensemble.infer`.

        Its `items` are let go as they are sent.

        Raises:
            InvalidOptionsError, ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: of the
                whole request.
        """
        timeout = self.settings.timeout
        places = destination.of_a_request(priority)
        batch = _Batch(
            request,
            destination,
            places,
            Deadline.after(timeout),
            Answers([None] * len(request.items)),
            asyncio.Semaphore(self._window_of(destination)),
            TiledRequest(places, lambda: destination.is_away),
        )
        try:
            async with asyncio.timeout(timeout + _MOMENT_S):
                await self._run(batch)
        except TimeoutError as error:
            if destination.is_away:
                raise ServerUnavailableError(f"Triton was not back within {timeout:g} s") from error
            raise DeadlineExceededError(f"no answer within {timeout:g} s; send fewer images at a time") from error
        return batch.answers

    async def _run(self, batch: _Batch) -> None:
        positions = iter(range(len(batch.request.items)))
        workers = min(len(batch.request.items), self._window_of(batch.destination))
        if workers <= 1:
            return await self._work(batch, positions)
        tasks = [asyncio.create_task(self._work(batch, positions)) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # what waited has left the queue when this returns
        return None

    def _window_of(self, destination: Destination) -> int:
        return self.settings.request_window * destination.ensemble.servers

    async def _work(self, batch: _Batch, positions: Iterator[int]) -> None:
        for position in positions:
            item, batch.request.items[position] = batch.request.items[position], None
            try:
                with step(IMAGE, **{"image.index": position}):
                    batch.answers.results[position] = await self._detect(batch, item)
            except InvalidImageError as error:
                batch.answers.has_failed_images |= isinstance(error, FatalImageError)
                batch.answers.reasons[position] = printable_line(str(error), _LONGEST_REASON)
                await asyncio.sleep(0)  # of a thousand unreadable ones, none would wait for anything

    async def _detect(self, batch: _Batch, item: Any) -> bytes:
        if isinstance(item, str) and contract.is_url(item.strip()):
            async with self._fetches:  # and no place in the ensemble while it loads
                with step(FETCH):
                    image = await self._fetch(item.strip())
                return await self._send(batch, image)
        return await self._send(batch, item)

    async def _send(self, batch: _Batch, item: Any) -> bytes:
        tiling = batch.request.parameters.tiling
        if tiling is not None:
            return await self._send_tiled(batch, item, tiling)
        with self._levels.image(batch.places.priority):
            async with batch.places.place() as place:
                image = item if isinstance(item, bytes) else await decode_item(item)
                outputs = await batch.destination.infer(
                    place, image, batch.deadline, options=batch.request.parameters.options
                )
        answer: bytes = outputs["DETECTIONS"][0]
        return answer

    async def _send_tiled(self, batch: _Batch, item: Any, tiling: Tiling) -> bytes:
        image = item if isinstance(item, bytes) else await decode_item(item)
        options, of_tiles = batch.request.parameters.options, batch.destination.for_tiles()

        async def send(encode: Encode, size: int) -> Mapping[str, Any]:
            async with batch.window:
                with self._levels.image(batch.places.priority):  # each is as much work as an image
                    async with self._tiled.place(size, batch.places) as place:
                        part = await encode()
                        destination = batch.destination if part is image else of_tiles
                        return await destination.infer(place, part, batch.deadline, options=options, outputs=OUTPUTS)

        async def terms() -> SuppressionTerms:
            return (await batch.destination.ensemble.suppression_terms()).changed(options)

        answer, tiles = await self._tiled.detect(image, tiling, terms, batch.tiled, send)
        batch.answers.tiles += tiles
        return answer


async def decode_item(item: Any) -> bytes:
    """`contract.decode_image_item` of what is no URL, away from the event loop where it takes long."""
    long = isinstance(item, str) and len(item) >= _DECODE_ON_A_THREAD_FROM
    found = await asyncio.to_thread(contract.decode_image_item, item) if long else contract.decode_image_item(item)
    assert not isinstance(found, ImageURL)
    return found
