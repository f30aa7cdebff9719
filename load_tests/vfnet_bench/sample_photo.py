"""A JPEG of a given size in bytes, made up, so that nothing has to be fetched."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_LOWEST_QUALITY, _HIGHEST_QUALITY = 20, 98


def sample_jpeg(width: int, height: int, size: int) -> bytes:
    """Smooth colours with noise, of the quality that comes closest to `size` bytes, filled up with zeros."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (height // 40, width // 40, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = random.normal(0, 12, smooth.shape)
    picture = Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))
    best = encoded = _encode(picture, _LOWEST_QUALITY)
    for quality in range(_LOWEST_QUALITY + 1, _HIGHEST_QUALITY):
        if len(encoded) > size:
            break
        best, encoded = encoded, _encode(picture, quality)
    return best + bytes(max(0, size - len(best)))  # decoders ignore what follows the end of the picture


def _encode(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()
