"""How bright an encoded image is, without decoding all of a large one."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from vfnet_images.decoding import FORMATS, ImageError, decode_image, stored_size
from vfnet_images.encoded_files import pixel_parts

_MOST_DECODED = 16_000_000
"""Pixels: what a camera makes. Larger images of formats that cannot be decoded smaller are not measured."""
_REDUCED_SIDE = 64
"""Pixels. A JPEG is decoded at an eighth of its size at the least, whose mean is that of the whole."""
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Of R, G and B: ITU-R BT.601, as JPEG has it."""


def mean_luma(data: bytes) -> float | None:
    """The mean luma of the stored pixels, from 0, black, to 255; None where the image is too large to be decoded.

    Raises:
        ImageError: it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata that changes no pixel
        width, height = stored_size(data)
        reduced = _reduced_jpeg(data)
    if reduced is not None:
        return reduced
    if width * height > _MOST_DECODED:
        return None
    return float((decode_image(data, _MOST_DECODED).reshape(-1, 3).mean(axis=0, dtype=np.float64) * _LUMA).sum())


def _reduced_jpeg(data: bytes) -> float | None:
    """Of a JPEG in grey or YCbCr; None of all else, and of what is damaged, which decoding as a whole finds out."""
    try:
        with Image.open(io.BytesIO(pixel_parts(data)), formats=FORMATS) as image:
            if image.format != "JPEG" or image.mode not in ("L", "RGB"):
                return None
            image.draft("L", (_REDUCED_SIDE, _REDUCED_SIDE))
            return float(np.asarray(image.convert("L")).mean())
    except ImageError:
        raise
    except Exception:  # damaged files make Pillow raise nearly anything
        return None
