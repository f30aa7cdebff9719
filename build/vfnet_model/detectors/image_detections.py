"""What a model found in one image, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
