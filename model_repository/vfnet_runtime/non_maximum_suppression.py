"""Class-wise non-maximum suppression equal to mmcv 1.7.2's `batched_nms`, stopping early."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def batched_nms(
    boxes: NDArray[Any],
    labels: NDArray[Any],
    iou_threshold: float,
    max_num: int,
    is_wanted: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Greedy suppression within each class.

    Args:
        boxes: float32 [n, 4] x1 y1 x2 y2, by falling score.
        labels: integer [n], class of each.
        iou_threshold: a box goes when its IoU with a kept, better one of its class is greater.
        max_num: stop when so many are kept: over sorted boxes the first are the same.
        is_wanted: bool [n], of which boxes some are to be kept, whole classes; None: of all. What is kept of a class
            is the same with and without the others, to the last bit.

    Returns:
        int64 [k], k <= `max_num`: indices of the kept boxes, in order.
    """
    if len(boxes) == 0 or max_num < 1:
        return np.zeros(0, np.int64)
    # Classes are moved apart instead of looped over. mmcv does it in float32, where far-off
    # coordinates round; borderline IoUs agree only if that is done too, and as far for some classes as for all.
    offset = labels.astype(np.float32) * (boxes.max() + np.float32(1))
    x1, y1, x2, y2 = np.ascontiguousarray((boxes + offset[:, None]).T)
    area = (x2 - x1) * (y2 - y1)
    remaining = np.arange(len(boxes)) if is_wanted is None else np.flatnonzero(is_wanted)
    kept: list[int] = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(int(best))
        if len(kept) == max_num:
            break
        width = np.minimum(x2[best], x2[remaining]) - np.maximum(x1[best], x1[remaining])
        height = np.minimum(y2[best], y2[remaining]) - np.maximum(y1[best], y1[remaining])
        intersection = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
        with np.errstate(invalid="ignore"):  # two empty boxes: 0 / 0 is NaN, and NaN suppresses nothing
            iou = intersection / (area[best] + area[remaining] - intersection)
        remaining = remaining[~(iou > np.float32(iou_threshold))]
    return np.array(kept, np.int64)
