"""Pictures of a brightness that is known."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(brightness: int, seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A grey, grainy JPEG."""
    grain = np.random.default_rng(seed).normal(brightness, 12, (size[1], size[0], 3)).clip(0, 255)
    encoded = io.BytesIO()
    Image.fromarray(grain.astype(np.uint8)).save(encoded, "JPEG")
    return encoded.getvalue()
