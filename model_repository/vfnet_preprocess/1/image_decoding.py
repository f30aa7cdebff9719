"""Encoded bytes -> RGB pixels as they are stored: EXIF orientation ignored, alpha dropped."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000")
"""Pillow's names of what is decoded. A list, because some of Pillow's others start programs (EPS)."""

Image.MAX_IMAGE_PIXELS = None  # `decode_image` has its own limit, and refuses instead of warning
Image.init()  # loads the plug-ins now, on one thread; `formats=` expects them loaded


class ImageError(ValueError):
    """The caller's bytes are not an image that can be read; the message says why."""


def decode_image(data: bytes, max_image_pixels: int) -> NDArray[Any]:
    """Decode the first frame.

    Args:
        data: the whole encoded file.
        max_image_pixels: refuse, before decoding, what has more pixels than this.

    Returns:
        uint8 [height, width, 3] RGB, C-contiguous, in the frame of the stored pixels.

    Raises:
        ImageError: empty, unknown format, too large, truncated or damaged.
    """
    if not data:
        raise ImageError("the image is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata that changes no pixel
        with _open(data) as image:
            _check_size(image, max_image_pixels)
            try:
                image.load()
                return _to_rgb(image)
            except MemoryError:
                raise ImageError(f"the image ({image.width} x {image.height}) does not fit into memory") from None
            except Exception as error:  # damaged files make decoders raise nearly anything
                raise ImageError(f"the {image.format} image is truncated or damaged: {_reason(error)}") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            f"not an image in a known format ({len(data)} bytes that begin with {data[:12]!r}); "
            "known are JPEG, PNG, GIF, BMP, WebP and TIFF"
        ) from None
    except Exception as error:
        raise ImageError(f"the image's header is damaged: {_reason(error)}") from error


def _check_size(image: Image.Image, max_image_pixels: int) -> None:
    if image.width < 1 or image.height < 1:
        raise ImageError(f"the image has no pixels ({image.width} x {image.height})")
    if image.width * image.height > max_image_pixels:
        raise ImageError(
            f"the image is too large: {image.width} x {image.height} is more than {max_image_pixels} pixels"
        )


def _to_rgb(image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_8_bit(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBa", "La"):  # premultiplied alpha (TIFF) has no direct way to RGB
        image = image.convert(image.mode.upper())
    return np.ascontiguousarray(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))


def _to_8_bit(values: NDArray[Any]) -> NDArray[Any]:
    """Grey levels of more than 8 bits -> uint8 of the same shape.

    Integers keep their upper 8 of 16 bits (what OpenCV and libpng do); floats in 0..1 are scaled by
    255; anything that reaches further is scaled by its own maximum.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize == 2:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    levels = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(min=0)
    highest = levels.max()
    floats_reach = 1.0 if highest <= 1 else 255.0
    limit = floats_reach if values.dtype.kind == "f" else 65535.0
    return np.asarray(levels * (255 / max(limit, highest))).astype(np.uint8)


def _reason(error: Exception) -> str:
    """The decoder's words, where it has any."""
    return str(error) or type(error).__name__
