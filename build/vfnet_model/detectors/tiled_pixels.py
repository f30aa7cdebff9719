"""The tiles of an image that is detected in by this process, as a client cuts and merges them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from vfnet_client.exceptions import InvalidImageError
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_tiling.geometry import Tile, tiles_of, whole
from vfnet_tiling.merging import Found, merged
from vfnet_tiling.tiling import Tiling, TilingError


def tiled(pixels: npt.NDArray[Any], tiling: Tiling | None) -> list[Tile]:
    """The parts of [height, width, 3] to detect in: the image itself, and then its tiles.

    Raises:
        InvalidImageError: it cannot be tiled as asked.
    """
    height, width = pixels.shape[:2]
    if tiling is None:
        return [whole(width, height)]
    try:
        tiles = tiles_of(tiling, width, height)
    except TilingError as error:
        raise InvalidImageError(str(error)) from error
    return [whole(width, height), *tiles] if tiling.whole_image or not tiles else tiles


def merged_tiles(
    tiles: Sequence[Tile],
    found: Sequence[ImageDetections],
    tiling: Tiling | None,
    iou_threshold: float,
    most: int,
) -> ImageDetections:
    """Detections of the image.

    Args:
        found: of each part, in its pixels.
        iou_threshold: the model's own, where the tiling has none.
        most: see `vfnet_tiling.merging.merged`.
    """
    if tiling is not None and tiling.tile_predictions_nms_thresh is not None:
        iou_threshold = tiling.tile_predictions_nms_thresh
    all_of_them = merged(tiles, [Found(each.boxes, each.scores, each.labels) for each in found], iou_threshold, most)
    return ImageDetections(all_of_them.boxes, all_of_them.scores, all_of_them.labels)
