"""Images of a request that asks for tiles: each image and each of its tiles is an inference with a place of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vfnet_client.exceptions import ServerBusyError
from vfnet_client.tiled_detection import Send, SuppressionTerms, detect_tiled
from vfnet_gateway.admission import Place, Priority, RequestPlaces
from vfnet_gateway.fair_budget import FairBudget
from vfnet_gateway.settings import GatewaySettings
from vfnet_tiling.tiling import Tiling

_MOST_PIXELS = 50_000_000
"""Of an image that is tiled."""
_PIXELS_AT_ONCE = 64_000_000
"""Of images of each priority, over all requests: 192 MB, such as five photos of 12 megapixels."""
_MOST_TILE_PIXELS = 4 * _MOST_PIXELS
"""Of all tiles of an image: with much overlap a small request would become work without end."""
_ENCODED_AT_ONCE = 64 << 20
"""Bytes of encoded parts of images, of each priority, over all requests; gRPC makes copies while they are sent."""
_THREADS = 4
"""Of their own, so that bodies of other requests are decoded meanwhile, and callers that leave while their image is
decoded do not have more decoded at once."""


@dataclass
class TiledRequest:
    """The images of one request that wait for room, or had it."""

    places: RequestPlaces
    is_stalled: Callable[[], bool]
    """Whether nothing can become free because the server is away: meanwhile nobody who waits is refused."""
    has_started: bool = False
    is_waiting: bool = False


class TiledScoring:
    """Cuts and merges, of a bounded number of pixels at once. To be used by one event loop.

    A request that finds no room for its first image waits as one does for its first place in the ensemble: so many
    requests, and so long, as the settings say.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, "tiles")
        self._pixels = {priority: FairBudget(_PIXELS_AT_ONCE) for priority in Priority}
        self._encoded = {priority: FairBudget(_ENCODED_AT_ONCE) for priority in Priority}
        self._newcomers = dict.fromkeys(Priority, 0)

    async def detect(
        self,
        image: bytes,
        tiling: Tiling,
        terms: Callable[[], Awaitable[SuppressionTerms]],
        request: TiledRequest,
        send: Send,
    ) -> tuple[bytes, int]:
        """An image's `DETECTIONS`, and how many tiles it had.

        Args:
            send: has a part of the image answered. What it encodes is `image` itself where it is no tile.

        Raises:
            InvalidImageError: the image cannot be read, is too large, or would have too many tiles.
            ServerBusyError: tiles of other requests take all room. What `send` raises is passed on.
        """
        answer = await detect_tiled(
            image,
            tiling,
            send,
            terms,
            most_tiles=self._settings.max_tiles,
            most_tile_pixels=_MOST_TILE_PIXELS,
            max_image_pixels=_MOST_PIXELS,
            room=lambda pixels: self._room(request, pixels),
            threads=self._threads,
        )
        return json.dumps(answer.detections.to_json()).encode(), answer.tiles

    @asynccontextmanager
    async def place(self, size: int, places: RequestPlaces) -> AsyncIterator[Place]:
        """A place in the ensemble for a part of an image, of about so many bytes, when there is room for these too."""
        budget, place = self._encoded[places.priority], None
        taken = await budget.take(size)
        try:
            async with places.place() as place:
                yield place
        finally:
            if place is None:
                budget.give_back(taken)
            else:
                place.when_free(lambda: budget.give_back(taken))

    @asynccontextmanager
    async def _room(self, request: TiledRequest, pixels: int) -> AsyncIterator[None]:
        budget = self._pixels[request.places.priority]
        if request.has_started or request.is_waiting or budget.has(pixels):
            taken = await budget.take(pixels)
        else:
            taken = await self._first_room(request, budget, pixels)
        request.has_started = True
        try:
            yield
        finally:
            budget.give_back(taken)

    async def _first_room(self, request: TiledRequest, budget: FairBudget, pixels: int) -> int:
        priority, patience = request.places.priority, self._settings.queue_timeout
        if self._newcomers[priority] >= self._settings.max_waiting:
            raise ServerBusyError("the server is busy with tiles of other requests; try again a little later")
        self._newcomers[priority] += 1
        request.is_waiting = True
        try:
            while True:
                try:
                    async with asyncio.timeout(patience):
                        return await budget.take(pixels)
                except TimeoutError as error:
                    if not request.is_stalled():
                        raise ServerBusyError(
                            "the server is busy with tiles of other requests: there was no room for more "
                            f"within {patience:g} s"
                        ) from error
        finally:
            self._newcomers[priority] -= 1
            request.is_waiting = False
