"""Detections in pixels as the client's, whose corners are fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence

from vfnet_client.detections import DetectedBox, Detections
from vfnet_model.detectors.image_detections import ImageDetections


def as_fractions(
    found: ImageDetections, classes: Sequence[str], size: tuple[int, int], score_threshold: float = 0.0
) -> Detections:
    """The same detections, in their order.

    Args:
        classes: what `found.labels` index.
        size: width and height of the stored image.
        score_threshold: only what scores higher.
    """
    width, height = size
    return Detections(
        [
            DetectedBox(x1 / width, y1 / height, x2 / width, y2 / height, classes[label], score)
            for (x1, y1, x2, y2), score, label in zip(
                found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
            )
            if score > score_threshold
        ]
    )
