"""Images of a request that asks for tiles: each image and each of its tiles is an inference with a place of its own."""

from __future__ import annotations

import asyncio
import json

from vfnet_client.tiled_detection import Send, SuppressionTerms, detect_tiled
from vfnet_gateway.admission import Priority
from vfnet_tiling.tiling import Tiling

_AT_ONCE = 4
"""Images of each priority whose pixels are in memory, over all requests."""
_MOST_PIXELS = 50_000_000
"""Of an image that is tiled: `_AT_ONCE` of them take 600 MB."""


class TiledScoring:
    """Cuts and merges, of a bounded number of images at once. To be used by one event loop.

    Args:
        most_tiles: of an image.
    """

    def __init__(self, most_tiles: int) -> None:
        self._most_tiles = most_tiles
        self._rooms = {priority: asyncio.Semaphore(_AT_ONCE) for priority in Priority}

    async def detect(
        self, image: bytes, tiling: Tiling, terms: SuppressionTerms, priority: Priority, send: Send
    ) -> tuple[bytes, int]:
        """An image's `DETECTIONS`, and how many tiles it had.

        Args:
            send: has a part of the image answered. What it encodes is `image` itself where it is no tile.

        Raises:
            InvalidImageError: the image cannot be read, is too large, or would have too many tiles. What `send` raises
                is passed on.
        """
        async with self._rooms[priority]:
            answer = await detect_tiled(
                image, tiling, send, terms, most_tiles=self._most_tiles, max_image_pixels=_MOST_PIXELS
            )
        return json.dumps(answer.detections.to_json()).encode(), answer.tiles
