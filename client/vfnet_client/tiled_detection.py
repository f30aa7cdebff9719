"""One image and its tiles, each an inference of its own, in flight together, merged on the server's terms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.detections import DetectedBox, Detections, typed
from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_tiling.tiling import MOST_TILES, Tiling, TilingError

if TYPE_CHECKING:  # NumPy and Pillow are not imported before an image is tiled
    import numpy as np
    import numpy.typing as npt

    from vfnet_tiling.geometry import Tile

Encode = Callable[[], Awaitable[bytes]]
Send = Callable[[Encode, int], Awaitable[Mapping[str, Any]]]
"""Waits until there is room for one more inference, encodes a part of the image then and not before, and returns the
ensemble's `OUTPUTS`: `LABELS` may be missing. The number is how many bytes the encoded part has, or a little less."""
Room = Callable[[int], AbstractAsyncContextManager[None]]
"""Entered with an image's number of pixels before it is decoded, and left when its pixels are not needed any more."""
OUTPUTS = ("DETECTIONS", "LABELS")
_KNOWN_FOR_S = 60.0


@dataclass(frozen=True)
class SuppressionTerms:
    """On which a served model suppresses boxes. As it stands those of MMDetection's configs/vfnet."""

    iou_threshold: float = 0.6
    """Of two boxes of a class whose IoU is greater the better one stays."""
    max_per_img: int = 100
    """Detections of an image."""

    def changed(self, options: DetectionOptions) -> SuppressionTerms:
        """As one request wants them."""
        return SuppressionTerms(
            self.iou_threshold if options.nms_iou is None else options.nms_iou,
            self.max_per_img if options.max_detections is None else options.max_detections,
        )

    @classmethod
    def of_postprocess(cls, parameters: Mapping[str, str]) -> SuppressionTerms:
        """Of the parameters in the configuration of a model's last step; of what is not there, MMDetection's."""
        try:
            return cls(
                float(parameters.get("iou_threshold", cls.iou_threshold)),
                int(parameters.get("max_per_img", cls.max_per_img)),
            )
        except ValueError:
            return cls()


class ServerTerms:
    """What a server says of its model, asked again every minute: another model may serve by then.

    Args:
        ask: for the parameters of the model's last step, as `Transport.step_parameters`.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        self._ask = ask
        self._terms, self._asked_at = SuppressionTerms(), -_KNOWN_FOR_S

    async def current(self) -> SuppressionTerms:
        """Of a gateway or an endpoint, which do not tell, MMDetection's."""
        if monotonic() - self._asked_at >= _KNOWN_FOR_S:
            try:
                self._terms = SuppressionTerms.of_postprocess(await self._ask())
            except WrongServerError:  # a gateway, which is not asked again with every image
                pass
            except (DeadlineExceededError, ServerBusyError, ServerUnavailableError):
                return self._terms
            except VFNetClientError:  # a gateway over gRPC, or whoever denies access
                pass
            self._asked_at = monotonic()
        return self._terms


@dataclass(frozen=True)
class TiledAnswer:
    """What was found in an image and its tiles."""

    detections: Detections
    tiles: int
    """Beside the whole image; 0 where it fits into one."""


async def detect_tiled(
    image: bytes,
    tiling: Tiling,
    send: Send,
    terms: Callable[[], Awaitable[SuppressionTerms]],
    *,
    most_tiles: int = MOST_TILES,
    most_tile_pixels: int | None = None,
    max_image_pixels: int | None = None,
    room: Room = lambda _: nullcontext(),
    threads: Executor | None = None,
) -> TiledAnswer:
    """Detect in an image and in its tiles, and merge. The first inference that fails ends the others.

    The image is sent as it is, tiles are cut from its stored pixels (EXIF orientation ignored, as the server does).

    Args:
        image: encoded.
        terms: asked for when all parts are answered, by a server that is there.
        most_tile_pixels: of all tiles together; None: any number.
        max_image_pixels: as of `vfnet_images.decoding.decode_image`; None: its default.
        threads: where images are decoded, cut and merged; None: where `asyncio.to_thread` runs.

    Raises:
        InvalidImageError: it cannot be read, or not be tiled as asked. What `send` raises is passed on.
    """
    from vfnet_tiling.geometry import whole

    loop = asyncio.get_running_loop()
    (width, height), tiles = await loop.run_in_executor(
        threads, _looked_at, image, tiling, most_tiles, most_tile_pixels, max_image_pixels
    )
    parts = [whole(width, height), *tiles] if tiling.whole_image or not tiles else tiles
    if tiles:
        async with room(width * height):
            pixels = await loop.run_in_executor(threads, _decoded, image, max_image_pixels)
            outputs = await _answered(image, pixels, parts, send, threads)
            del pixels
    else:
        outputs = await _answered(image, None, parts, send, threads)
    on, threshold = await terms(), tiling.tile_predictions_nms_thresh
    # Not in the event loop: of many tiles with many boxes each it takes more than a second.
    detections = await loop.run_in_executor(
        threads,
        _merged,
        parts,
        outputs,
        (width, height),
        on.iou_threshold if threshold is None else threshold,
        on.max_per_img,
    )
    return TiledAnswer(detections, len(tiles))


async def _answered(
    image: bytes,
    pixels: npt.NDArray[np.uint8] | None,
    parts: Sequence[Tile],
    send: Send,
    threads: Executor | None,
) -> list[Mapping[str, Any]]:
    """What `send` returns for each part.

    Args:
        pixels: of the image; None: it is the only part.
    """

    async def answered(tile: Tile) -> Mapping[str, Any]:
        if pixels is None or (tile.width, tile.height) == (pixels.shape[1], pixels.shape[0]):

            async def given() -> bytes:
                return image

            return await send(given, len(image))

        async def encoded() -> bytes:
            from vfnet_tiling.cutting import encode_tile

            return await asyncio.get_running_loop().run_in_executor(threads, encode_tile, tile.of(pixels))

        return await send(encoded, 3 * tile.width * tile.height)

    tasks = [asyncio.ensure_future(answered(tile)) for tile in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _looked_at(
    image: bytes, tiling: Tiling, most_tiles: int, most_tile_pixels: int | None, max_image_pixels: int | None
) -> tuple[tuple[int, int], list[Tile]]:
    """Width and height as its header says, and where the tiles lie: refused before it is decoded."""
    from vfnet_images.decoding import MAX_IMAGE_PIXELS, ImageError, stored_size
    from vfnet_tiling.geometry import tiles_of

    try:
        width, height = stored_size(image, MAX_IMAGE_PIXELS if max_image_pixels is None else max_image_pixels)
        tiles = tiles_of(tiling, width, height, most_tiles)
    except (ImageError, TilingError) as error:
        raise InvalidImageError(str(error)) from error
    pixels = sum(tile.width * tile.height for tile in tiles)
    if most_tile_pixels is not None and pixels > most_tile_pixels:
        raise InvalidImageError(
            f"the {len(tiles)} tiles of an image of {width} x {height} would have {pixels} pixels, and at most "
            f"{most_tile_pixels} are cut out of one; ask for less overlap"
        )
    return (width, height), tiles


def _decoded(image: bytes, max_image_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Pixels [height, width, 3]."""
    from vfnet_images.decoding import MAX_IMAGE_PIXELS, ImageError, decode_image

    try:
        return decode_image(image, MAX_IMAGE_PIXELS if max_image_pixels is None else max_image_pixels)
    except ImageError as error:
        raise InvalidImageError(str(error)) from error


def _merged(
    tiles: Sequence[Tile],
    outputs: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    iou_threshold: float,
    most: int,
) -> Detections:
    import numpy as np

    from vfnet_tiling.merging import Found, surviving

    answers = [typed(each["DETECTIONS"][0]).boxes for each in outputs]
    found = [
        Found(
            _corners(boxes, tile),
            np.array([box.score for box in boxes], np.float64),
            np.array(labels, np.int64),
        )
        for tile, boxes, labels in zip(tiles, answers, _labels(answers, outputs), strict=True)
    ]
    every = [
        (box, corners, tile)
        for tile, boxes, part in zip(tiles, answers, found, strict=True)
        for box, corners in zip(boxes, part.boxes.tolist(), strict=True)
    ]
    kept = (every[position] for position in surviving(tiles, found, iou_threshold, most))
    return Detections([_in_image(box, corners, tile, size) for box, corners, tile in kept])


def _corners(boxes: Sequence[DetectedBox], tile: Tile) -> npt.NDArray[np.float64]:
    """[n, 4] x1 y1 x2 y2 in pixels of the tile.

    Rounded to float32, which models compute in, they are the model's own again and no quotients of them. So an IoU just
    at the threshold is decided as by whoever holds the model itself.

    Raises:
        InferenceError: one is beyond float32.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        corners = np.array([box.in_pixels(tile.width, tile.height) for box in boxes], np.float32).reshape(-1, 4)
    if not np.isfinite(corners).all():
        raise InferenceError("the server's answer has a box whose corners are in no image")
    return corners.astype(np.float64)


def _labels(answers: Sequence[Sequence[DetectedBox]], outputs: Sequence[Mapping[str, Any]]) -> list[Sequence[int]]:
    """Class indices of each answer's boxes: the model's where it says them, else in the order the answers name them.

    Not the models' where several answered that number their classes otherwise: the parts of an image may have gone to
    servers of two builds.
    """
    counts, given = list(map(len, answers)), [each.get("LABELS", ()) for each in outputs]
    if list(map(len, given)) == counts and any(counts):
        names: dict[int, str] = {}
        pairs = ((int(i), box.label) for labels, boxes in zip(given, answers, strict=True)
                 for i, box in zip(labels, boxes, strict=True))  # fmt: skip
        if all(names.setdefault(index, name) == name for index, name in pairs):
            return given
    named = dict.fromkeys(box.label for boxes in answers for box in boxes)
    index_of = {name: index for index, name in enumerate(named)}
    return [[index_of[box.label] for box in boxes] for boxes in answers]


def _in_image(box: DetectedBox, corners: Sequence[float], tile: Tile, size: tuple[int, int]) -> DetectedBox:
    """A tile's box with corners as fractions of the image; `corners` are x1 y1 x2 y2 in pixels of the tile."""
    width, height = size
    if (tile.width, tile.height) == size:
        return box
    x1, y1, x2, y2 = corners
    return DetectedBox(
        (tile.left + x1) / width,
        (tile.top + y1) / height,
        (tile.left + x2) / width,
        (tile.top + y2) / height,
        box.label,
        box.score,
    )
