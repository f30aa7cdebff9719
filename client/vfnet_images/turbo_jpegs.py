"""JPEGs of the usual kinds, decoded by libjpeg-turbo straight into RGB; everything else is left to Pillow.

Pillow decodes with libjpeg-turbo too, and so to the same pixels, but into four bytes a pixel. It packs them into three
in pieces of 64 kB and joins these, which for a large photo takes more than half as long as decoding. simplejpeg has
libjpeg-turbo fill the array itself.

Only what both are sure to read alike is decoded here: files that are built as encoders build them, and in which
libjpeg-turbo finds nothing to warn of. Pillow ignores those warnings, or has words for what is wrong.
"""

from __future__ import annotations

import struct
from typing import Any

from numpy.typing import NDArray

from vfnet_images.encoded_files import EncodingError, pixel_parts
from vfnet_images.jpeg_ends import has_all_scans

try:
    import simplejpeg
except ImportError:  # the thin client has none, nor has a processor that there is no wheel for
    simplejpeg = None

_MOST_SEGMENTS = 1000
"""Before the pixels. Cameras and editors write dozens."""
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman codes, quantisation and restarts."""
_SEQUENTIAL, _PROGRESSIVE = frozenset({0xC0, 0xC1}), 0xC2
"""Frames with Huffman codes. Arithmetic ones and lossless ones are rare."""
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
_SHORTEST = {b"JFIF\0": 16, b"Adobe": 14}
"""Bytes of segments that say which colours a file has, after the marker. Shorter ones stop Pillow, but not libjpeg."""
_ONE_SAMPLE = 0x11
_SAMPLINGS = frozenset({0x11, 0x21, 0x12, 0x22, 0x41})
"""4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1: samples of luma, across and down, for each of chroma."""


def decode_usual_jpeg(data: bytes, max_image_pixels: int) -> NDArray[Any] | None:
    """Decode a JPEG if it is of a usual kind and whole.

    Args:
        data: the whole encoded file, of any kind.
        max_image_pixels: what has more is left to Pillow.

    Returns:
        uint8 [height, width, 3] RGB, C-contiguous, in the frame of the stored pixels: what Pillow makes of it, to the
        bit. None: Pillow is to have a look. It is no JPEG, or of another kind, or damaged, or there is no simplejpeg.
    """
    if simplejpeg is None or not data.startswith(b"\xff\xd8\xff") or not _is_usual(data, max_image_pixels):
        return None
    try:
        # Slow, exact transform and smooth upsampling: libjpeg's own choices, and so Pillow's. Strict: no warning.
        pixels: NDArray[Any] = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, strict=True)
    except Exception:  # damaged, or no memory for it: Pillow says which
        return None
    return pixels


def _is_usual(data: bytes, max_image_pixels: int) -> bool:
    """Whether all segments before the first scan are known, whole and next to each other, and one is a usual frame."""
    start, frame, components = 2, 0, 0
    for _ in range(_MOST_SEGMENTS):
        if start + 5 > len(data):
            return False
        prefix, kind, size, first = struct.unpack_from(">BBHB", data, start)
        end = start + 2 + size
        if prefix != 0xFF or size < 3 or end > len(data):
            return False
        if kind == _START_OF_SCAN:
            # A frame of one scan, or one that is refined by scans, all of which are there.
            return first == components if frame in _SEQUENTIAL else frame == _PROGRESSIVE and _is_complete(data)
        if kind in _SEQUENTIAL or kind == _PROGRESSIVE:
            if frame or not _is_usual_frame(data[start + 4 : end], max_image_pixels):
                return False
            frame, components = kind, data[start + 9]
        elif kind in _APPLICATIONS:
            if size < _SHORTEST.get(data[start + 4 : start + 9], 0):
                return False
        elif kind not in _TABLES and kind != _COMMENT:
            return False
        start = end
    return False


def _is_usual_frame(frame: bytes, max_image_pixels: int) -> bool:
    """Whether it is of eight bits, in grey or three colours, of a usual sampling and not too large."""
    if len(frame) not in (9, 15):  # one component, or three
        return False
    bits, height, width, components = struct.unpack_from(">BHHB", frame)
    if bits != 8 or len(frame) != 6 + 3 * components or not 0 < height * width <= max_image_pixels:
        return False
    luma, *chroma = frame[7::3]
    return (luma in _SAMPLINGS if chroma else luma == _ONE_SAMPLE) and all(each == _ONE_SAMPLE for each in chroma)


def _is_complete(data: bytes) -> bool:
    """Whether a progressive one has all of its scans, and not too many. Versions smooth differently what lacks some."""
    try:
        return has_all_scans(pixel_parts(data))
    except EncodingError:
        return False
