"""Which boxes of one answer another answer has too: one to one, by how far they overlap. Needs NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

NOTHING = -1


def box_iou(boxes: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4], x1 y1 x2 y2; 0 where both are empty.

    Corners may be pixels or fractions of an image: a scale for each axis changes nothing.
    """
    first, second = boxes.astype(np.float64), others.astype(np.float64)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - intersection
    overlaps: npt.NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlaps


def matched_one_to_one(allowed: npt.NDArray[np.bool_], overlaps: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """[n], index of the other that each was matched to, or `NOTHING`; earlier ones choose first, the best that is left.

    Args:
        allowed: [n, m], whether these two may be matched.
        overlaps: [n, m], how well they match.
    """
    found = np.full(len(allowed), NOTHING, np.int64)
    if not allowed.size:
        return found
    left = np.where(allowed, overlaps, -1.0)
    for row in range(len(left)):
        best = int(np.argmax(left[row]))
        if left[row, best] >= 0:
            found[row] = best
            left[:, best] = -1
    return found
