"""Two boxes whose IoU is just at a threshold, and thresholds that a rounding more or less would decide otherwise."""

from __future__ import annotations

import numpy as np

EDGE = float(np.float32(1 / 3))
"""IoU of `boxes_on_the_edge` in float32. 1 / 3 in float64 is less."""
EDGES = {
    "a third, rounded down to float64 and up to float32": (1 / 3, 2),
    "rounded to float32 already": (EDGE, 2),
    "next to it in float32": (float(np.nextafter(np.float32(EDGE), np.float32(0))), 1),
    "nearer to it in float32": (0.333333329, 2),
    "nearer to the one next to it": (0.333333328, 1),
}
"""By what is special of it: an IoU of suppression, and how many of the two boxes stay."""


def boxes_on_the_edge() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `overlapping_boxes`."""
    boxes = np.array([[0, 0, 20, 10], [10, 0, 30, 10]], np.float32)
    return boxes, np.array([0.9, 0.8], np.float32), np.array([1, 1], np.int32)
