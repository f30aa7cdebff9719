"""Encoded bytes -> RGB pixels as they are stored: EXIF orientation ignored, alpha dropped.

TIFF's own Orientation tag is no EXIF: Pillow and OpenCV, the reference's decoder, both apply it always.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vfnet_images.encoded_files import EncodingError, pixel_parts
from vfnet_images.jpeg_ends import endings, lacks_end_marker
from vfnet_images.kinds import KINDS, NAMES, claimed_kind
from vfnet_images.turbo_jpegs import decode_usual_jpeg

FORMATS = tuple(kind.pillow for kind in KINDS)
"""Pillow's names of what is decoded. A list, because some of Pillow's others start programs (EPS)."""
_MOST_ENCODED_BYTES = 4
"""For each pixel that is allowed: what uncompressed pixels take, with alpha, or as one float."""
_MOST_METADATA = 2**24
"""Bytes that an encoded file may have beside these."""
_BAND_PIXELS = 2**20
"""Converted at a time, so that only the pixels and the result are ever there as a whole."""
_WHOLE_PIXELS = 2**24
"""Converted as a whole where that takes little beside the result; in bands it takes longer."""

_MOST_WITHOUT_END = 2**25
"""Pixels of a JPEG that is read without its end marker: it is decoded eight times, to see that no pixel is missing."""

_OTHER_KINDS = (
    (re.compile(rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "HEIC, as phones save it: save it as JPEG"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "AVIF: save it as JPEG or PNG"),
    (re.compile(rb"version https://git-lfs\."), "a pointer of Git LFS to one: git lfs pull brings it"),
)

Image.init()  # loads the plug-ins now, on one thread; `formats=` expects them loaded


MAX_IMAGE_PIXELS = 100_000_000
"""What is refused before it is decoded unless a server is told otherwise (`max_image_pixels` in config.pbtxt)."""


class ImageError(ValueError):
    """The caller's bytes are not an image that can be read; the message says why."""


def decode_image(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[Any]:
    """Decode the first frame.

    Args:
        data: the whole encoded file.
        max_image_pixels: refuse, before decoding, what has more pixels than this.

    Returns:
        uint8 [height, width, 3] RGB, C-contiguous, in the frame of the stored pixels.

    Raises:
        ImageError: empty, unknown format, too large, truncated or damaged.
    """
    _check_bytes(data, max_image_pixels)
    pixels = decode_usual_jpeg(data, max_image_pixels)
    return decode_with_pillow(data, max_image_pixels) if pixels is None else pixels


def decode_with_pillow(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[Any]:
    """`decode_image`, which does the same sooner where it can."""
    parts = _parts(data, max_image_pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata that changes no pixel
        try:
            return _decode(parts, data, max_image_pixels)
        except _DamageError as error:
            if not lacks_end_marker(parts):
                raise
            damage = str(error)  # and not the error, which holds what was decoded
        pixels = _without_end_marker(parts, max_image_pixels)
    if pixels is None:
        raise _DamageError(damage)
    return pixels


def stored_size(data: bytes, max_image_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """Width and height as `decode_image` would have them, without decoding.

    Raises:
        ImageError: empty, unknown format, too large, or a damaged header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(_parts(data, max_image_pixels), data, max_image_pixels) as image:
            _check_size(image, max_image_pixels)
            return image.size


class _DamageError(ImageError):
    """The decoder fails on what a header announces."""


def _check_bytes(data: bytes, max_image_pixels: int) -> None:
    if not data:
        raise ImageError("the image is empty (0 bytes)")
    if len(data) > _MOST_ENCODED_BYTES * max_image_pixels + _MOST_METADATA:
        raise ImageError(f"the image is too large: {len(data)} bytes hold more than {max_image_pixels} pixels")


def _parts(data: bytes, max_image_pixels: int) -> bytes:
    _check_bytes(data, max_image_pixels)
    try:
        return pixel_parts(data)
    except EncodingError as error:
        raise ImageError(str(error)) from None


def _decode(parts: bytes, data: bytes, max_image_pixels: int) -> NDArray[Any]:
    with _open(parts, data, max_image_pixels) as image:
        _check_size(image, max_image_pixels)
        with _reasons(image):
            image.load()
            return _to_rgb(image)


@contextmanager
def _reasons(image: Image.Image) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"the image ({image.width} x {image.height}) does not fit into memory") from None
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise _DamageError(f"the {image.format} image is truncated or damaged{_words(error)}") from error


def _without_end_marker(parts: bytes, max_image_pixels: int) -> NDArray[Any] | None:
    """The pixels of a JPEG that lacks its end marker, as OpenCV reads it; None where it lacks more than that."""
    try:
        with _open(parts, parts, max_image_pixels) as image:
            if image.width * image.height > _MOST_WITHOUT_END:
                return None
        candidates = endings(parts)
        if candidates is None:
            return None
        first = next(candidates)
        pixels = _decode(first, first, max_image_pixels)
        return pixels if all(_has_pixels(each, pixels, max_image_pixels) for each in candidates) else None
    except _DamageError:
        return None


def _has_pixels(data: bytes, pixels: NDArray[Any], max_image_pixels: int) -> bool:
    with _open(data, data, max_image_pixels) as image, _reasons(image):
        image.load()
        return all(np.array_equal(_bytes_to_rgb(band, image.format), pixels[rows]) for rows, band in _bands(image))


def _open(parts: bytes, data: bytes, max_image_pixels: int) -> Image.Image:
    """`parts` of `data`, which an error describes."""
    # Pillow allocates for some files (GIF) while it opens them. It refuses from twice the limit on; we the rest.
    Image.MAX_IMAGE_PIXELS = max_image_pixels
    try:
        return Image.open(io.BytesIO(parts), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"the image is too large: its header claims more than {max_image_pixels} pixels") from None
    except MemoryError:
        raise ImageError("the image does not fit into memory") from None
    except Exception as error:
        kind = claimed_kind(data)
        if kind is None and isinstance(error, UnidentifiedImageError):
            raise ImageError(
                f"not an image in a known format{_other_kind(data)} ({len(data)} bytes that begin with {data[:12]!r}); "
                f"known are {NAMES}"
            ) from None
        raise ImageError(
            f"the {kind.name if kind else 'image'} file cannot be opened: it is truncated, or its header is damaged, "
            "claims no pixels or is of an unsupported kind"
        ) from error


def _other_kind(data: bytes) -> str:
    """What a file is instead that people take for an image, in words."""
    return next((f" but {words}" for head, words in _OTHER_KINDS if head.match(data[:64])), "")


def _check_size(image: Image.Image, max_image_pixels: int) -> None:
    if image.width < 1 or image.height < 1:
        raise ImageError(f"the image has no pixels ({image.width} x {image.height})")
    if image.width * image.height > max_image_pixels:
        raise ImageError(
            f"the image is too large: {image.width} x {image.height} is more than {max_image_pixels} pixels"
        )


def _to_rgb(image: Image.Image) -> NDArray[Any]:
    """uint8 [height, width, 3], C-contiguous. A conversion of the whole image takes up to 40 bytes a pixel."""
    is_deep = image.mode.startswith("I") or image.mode == "F"
    if not is_deep and image.width * image.height <= _WHOLE_PIXELS:
        return _bytes_to_rgb(image, image.format)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    if is_deep:
        highest = max(_highest_level(np.asarray(band)) for _, band in _bands(image))
        for rows, band in _bands(image):
            rgb[rows] = _to_8_bit(np.asarray(band), highest)[:, :, None]
        return rgb
    for rows, band in _bands(image):
        rgb[rows] = _bytes_to_rgb(band, image.format)
    return rgb


def _bytes_to_rgb(image: Image.Image, format_name: str | None) -> NDArray[Any]:
    colours = image.mode
    if colours in ("RGBa", "La"):  # premultiplied alpha (TIFF) has no direct way to RGB
        image = image.convert(colours.upper())
    try:
        return np.ascontiguousarray(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
    except ValueError:
        raise ImageError(f"the {format_name} image's colours ({colours}) cannot be converted to RGB") from None


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows, and the image of them."""
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        yield slice(0, image.height), image
        return
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _highest_level(values: NDArray[Any]) -> float:
    """Of those that are finite; 0 where none is positive."""
    if values.dtype.kind in "iu":
        return float(values.max())
    levels = values[np.isfinite(values)]
    return float(levels.max(initial=0))


def _to_8_bit(values: NDArray[Any], highest: float) -> NDArray[Any]:
    """Grey levels of more than 8 bits -> uint8 of the same shape.

    Integers keep their upper 8 of 16 bits (what OpenCV and libpng do); floats in 0..1 are scaled by
    255; anything that reaches further is scaled by its own maximum. Negative, infinite and NaN are 0.

    Args:
        values: of a part of the image.
        highest: of the whole image.
    """
    if values.dtype.kind in "iu":
        if values.dtype.itemsize == 2:
            return (values.astype(np.uint16) >> 8).astype(np.uint8)
        whole = values.astype(np.int64).clip(min=0)
        return np.asarray(whole * 256 // max(65536, int(highest) + 1)).astype(np.uint8)
    levels = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(min=0)
    limit = 1.0 if highest <= 1 else max(255.0, highest)
    return np.asarray(np.rint(levels * (255 / limit))).astype(np.uint8)


def _words(error: Exception) -> str:
    """What the decoder itself said; other exceptions speak of Python."""
    said = str(error) if isinstance(error, (OSError, SyntaxError)) else ""
    return f" ({said})" if said else ""
