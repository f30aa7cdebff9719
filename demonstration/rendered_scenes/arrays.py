"""The array types that the renderer passes around."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]
"""Red, green, blue as stored in an image file, 0 to 255."""


def to_linear(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Stored pixels [..., 3] -> linear light, float32, 0 to 1, by the power law that sRGB approximates."""
    curve = (np.arange(256, dtype=np.float32) / 255.0) ** 2.2
    linear: FloatArray = curve[pixels]
    return linear


def unit(vectors: FloatArray) -> FloatArray:
    """[..., 3] scaled to length 1."""
    scaled: FloatArray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return scaled
