"""Tiles as encoded images, without loss."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_MOST_RAW_BYTES = 16 << 20
"""Half of what a gateway takes as one image. Larger tiles are packed, which costs time and not much more than half of
the bytes."""


def encode_tile(pixels: NDArray[Any]) -> bytes:
    """uint8 [height, width, 3] RGB as a file that decodes to the same pixels.

    As PPM, whose pixels are neither packed nor unpacked: of a photo, PNG takes half the bytes and many times as long.
    """
    height, width = pixels.shape[:2]
    if pixels.nbytes <= _MOST_RAW_BYTES:
        return b"P6\n%d %d\n255\n" % (width, height) + np.ascontiguousarray(pixels).tobytes()
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()
