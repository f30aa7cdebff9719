"""What a model found in one image, as arrays in pixels, and those as the client's detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfnet_client.detections import DetectedBox, Detections


@dataclass(frozen=True, eq=False)
class ImageDetections:
    """Detections of one image, in any order."""

    boxes: npt.NDArray[np.float64]
    """[n, 4] x1 y1 x2 y2 in pixels of the stored image."""
    scores: npt.NDArray[np.float64]
    """[n]."""
    labels: npt.NDArray[np.int64]
    """[n], class indices: of the model or of the data set, as the giver says."""

    @classmethod
    def none(cls) -> ImageDetections:
        """Of an image in which nothing was found."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def as_fractions(found: ImageDetections, classes: Sequence[str], size: tuple[int, int]) -> Detections:
    """The same detections, in their order.

    Args:
        classes: what `found.labels` index.
        size: width and height of the stored image.
    """
    width, height = size
    return Detections(
        [
            DetectedBox(x1 / width, y1 / height, x2 / width, y2 / height, classes[label], score)
            for (x1, y1, x2, y2), score, label in zip(
                found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
            )
        ]
    )
