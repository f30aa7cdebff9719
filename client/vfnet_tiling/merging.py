"""Detections of the tiles of an image as those of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfnet_tiling.geometry import Tile


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one image or tile."""

    boxes: NDArray[np.float64]
    """[n, 4] x1 y1 x2 y2 in its pixels."""
    scores: NDArray[np.float64]
    """[n]."""
    labels: NDArray[np.int64]
    """[n], class indices."""


def merged(tiles: Sequence[Tile], found: Sequence[Found], iou_threshold: float, most: int) -> Found:
    """One answer of those to an image and its tiles: what `surviving` lets stay, with boxes in pixels of the image."""
    every, origins = _together(tiles, found)
    kept = _surviving(every, origins, iou_threshold, most)
    return Found(every.boxes[kept], every.scores[kept], every.labels[kept])


def surviving(tiles: Sequence[Tile], found: Sequence[Found], iou_threshold: float, most: int) -> NDArray[np.int64]:
    """Which boxes of an image and its tiles stay, as AutoML merges them.

    Over all boxes by falling score, each that stays removes those of its class that overlap it more than allowed and
    come from another tile: those of its own have been through the model's suppression.

    Args:
        tiles: the image itself is one of them, where it was detected in.
        found: of each tile.
        iou_threshold: a box goes when its IoU with a better one is greater.
        most: the best so many stay; AutoML keeps all.

    Returns:
        [k] positions in all boxes, tile after tile: by class index, inside a class by falling score.
    """
    return _surviving(*_together(tiles, found), iou_threshold, most)


def _surviving(every: Found, origins: NDArray[np.int64], iou_threshold: float, most: int) -> NDArray[np.int64]:
    order = np.argsort(-every.scores, kind="stable")
    kept = order[_survivors(every.boxes[order], every.labels[order], origins[order], iou_threshold, most)]
    return kept[np.argsort(every.labels[kept], kind="stable")]


def _together(tiles: Sequence[Tile], found: Sequence[Found]) -> tuple[Found, NDArray[np.int64]]:
    """All boxes, tile after tile, in pixels of the image, and the position of each one's tile [n]."""
    corners = np.array([(tile.left, tile.top) * 2 for tile in tiles], np.float64).reshape(-1, 4)
    origins = np.repeat(np.arange(len(tiles)), [len(each.scores) for each in found])
    boxes = np.concatenate([np.zeros((0, 4)), *(each.boxes for each in found)]) + corners[origins]
    scores = np.concatenate([np.zeros(0), *(each.scores for each in found)])
    labels = np.concatenate([np.zeros(0, np.int64), *(each.labels for each in found)])
    return Found(boxes, scores, labels), origins


def _survivors(
    boxes: NDArray[np.float64], labels: NDArray[Any], origins: NDArray[Any], iou_threshold: float, most: int
) -> NDArray[np.int64]:
    """Positions, in their order, of boxes by falling score that no better one removes; `most` of them."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    areas = (x2 - x1) * (y2 - y1)
    remains = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for best in range(len(boxes)):
        if not remains[best]:
            continue
        kept.append(best)
        if len(kept) == most:
            break
        after = slice(best + 1, None)
        rivals = remains[after] & (labels[after] == labels[best]) & (origins[after] != origins[best])
        others = best + 1 + np.flatnonzero(rivals)
        width = np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others])
        height = np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        # Multiplied out: the union of two empty boxes is 0, and they remove nothing.
        remains[others[intersection > iou_threshold * (areas[best] + areas[others] - intersection)]] = False
    return np.array(kept, np.int64)
