"""Detections of one image, written as rows."""

from __future__ import annotations

import numpy as np

from vfnet_model.detectors.image_detections import ImageDetections


def detections(*rows: tuple[list[float], float, int]) -> ImageDetections:
    """Each row a box x1 y1 x2 y2 in pixels, its score and its label."""
    boxes, scores, labels = zip(*rows, strict=True)
    return ImageDetections(np.array(boxes, np.float64), np.array(scores), np.array(labels))
