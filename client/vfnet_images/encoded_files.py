"""Encoded files without what is no pixels, and without what would cost more than pixels do.

Pillow reads metadata before it knows how large the picture is, some of it with work that grows with the square of its
length, and its decoders take tables, tiles and scans as the file claims them. What of a file goes to Pillow is bounded
here, in bytes and in steps, by its length and by what its pixels need.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

_MOST_PARTS = 100_000
"""Chunks, segments or blocks before the pixels; cameras and editors write dozens."""
_MOST_SCANS, _SCANS_OF_ANY = 100, 20
"""Of a progressive JPEG, as libtiff has it, and of one that is ever so large; encoders write about ten. Each costs a
pass over the whole image."""
_MOST_SCANNED_PIXELS = 2**31
"""Of all its scans together: one of 20 million pixels may have 100 of them."""
_MOST_TAGS, _MOST_VALUES = 1000, 2**18
"""Of a TIFF; values of one tag: strips and tiles have one each."""
_LARGEST_TILE = 2**24
"""Pixels of a TIFF's tile that is larger than four times its image."""
_MOST_RLE_PIXELS, _WIDEST_RLE = 2**24, 2**16
"""Of a BMP with run lengths, which Pillow decodes in Python: about half a microsecond a run."""

_MOST_PPM_SAMPLES, _MOST_PPM_TEXT = 2**22, 16
"""Of a PPM whose numbers are text or have other than 256 levels, which Pillow decodes in Python; and characters of each
sample."""
_CODESTREAM = b"\xff\x4f\xff\x51"
"""How JPEG 2000 begins inside of its file: start, and size."""
_MOST_JPEG2000_PIXELS, _MOST_COMPONENTS, _MOST_TILES = 2**25, 4, 2**12
"""OpenJPEG takes four bytes a sample, and some kilobytes a tile, before it has decoded anything."""


class EncodingError(ValueError):
    """The file cannot be decoded within bounds; the message ends "the X image is ..."."""


def pixel_parts(data: bytes) -> bytes:
    """What of a file has to do with pixels; the file itself where it is of a format with nothing to leave out.

    Raises:
        EncodingError: see the messages.
    """
    for signature, read in _READERS.items():
        if data.startswith(signature):
            return read(data)
    return data


def _png(data: bytes) -> bytes:
    """A PNG without metadata, for a long text or colour profile would make Pillow refuse the picture."""
    view = memoryview(data)
    kept = [view[:8]]
    start, parts = 8, 0
    while start + 12 <= len(data):  # length, kind, contents, checksum
        end = start + 12 + int.from_bytes(view[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        parts += 1
        if parts > _MOST_PARTS:
            raise EncodingError(f"the PNG image is in more than {_MOST_PARTS} chunks")
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if end <= len(data) and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
                raise EncodingError(
                    f"the PNG image is damaged: the checksum of its {kind.decode()} chunk does not match"
                )
            kept.append(view[start:end])
        start = end
    return b"".join(kept)


_JPEG_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_AFTER_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""The next marker in compressed data, which has 0 or a restart's number after each 255."""


def _jpeg(data: bytes) -> bytes:
    """A JPEG without comments and application data, but for what says which colours it has (JFIF, Adobe).

    Pillow joins a file's EXIF segments one by one, so that many short ones take hours.
    """
    view = memoryview(data)
    kept = [view[:2]]
    start, pixels = 2, 0
    for _ in range(_MOST_PARTS):
        marker = _JPEG_MARKER.search(data, start)  # Pillow, too, skips what lies before it
        if marker is None or len(data) < marker.end() + 2:
            break
        begin, kind = marker.start(), marker[1][0]
        end = marker.end() + int.from_bytes(view[marker.end() : marker.end() + 2], "big")
        if kind == 0xDA:
            start = begin
            _check_scans(data, start, pixels)
            break
        if kind in _FRAMES and marker.end() + 7 <= len(data):
            height, width = struct.unpack_from(">HH", data, marker.end() + 3)
            pixels = max(pixels, height * width)
        if kind < 0xC0 or kind == 0xC8 or 0xF0 <= kind < 0xFE:
            raise EncodingError("the JPEG image is damaged: it has a segment of no known kind")
        if 0xD0 <= kind <= 0xD9:
            end = marker.end()  # stands alone
        elif 0xE0 <= kind <= 0xEF or kind == 0xFE:
            contents = data[marker.end() + 2 : marker.end() + 7]
            if (kind, contents) in ((0xE0, b"JFIF\0"), (0xEE, b"Adobe")):
                kept.append(view[begin:end])
        else:
            kept.append(view[begin:end])
        start = end
    else:
        raise EncodingError(f"the JPEG image is in more than {_MOST_PARTS} segments")
    kept.append(view[start:])
    return b"".join(kept)


def _check_scans(data: bytes, start: int, pixels: int) -> None:
    most = min(_MOST_SCANS, max(_SCANS_OF_ANY, _MOST_SCANNED_PIXELS // max(pixels, 1)))
    if data.count(b"\xff\xda", start) <= most:  # however many more of them are in something else
        return
    scans = 0
    while (marker := _AFTER_SCAN.search(data, start)) is not None and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        if scans > most:
            raise EncodingError(f"the JPEG image is in more than {most} scans")
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")


_GIF_BLOCK = re.compile(rb"[!,;]")
"""How an extension, a frame and the end begin; Pillow, too, skips what lies before."""
_GIF_CONTROL = 8
"""Bytes of a frame's settings."""


def _gif(data: bytes) -> bytes:
    """A GIF without what stands before its first frame but the frame's own settings.

    Pillow joins a comment's blocks of 255 bytes one by one, so that a long one takes hours.
    """
    start = 13 + _colour_table(data[10:11])
    kept = [data[:start]]
    parts = 0
    while (found := _GIF_BLOCK.search(data, start)) is not None and found[0] == b"!":
        extension, block = found.start(), found.end() + 1
        while block < len(data) and data[block]:
            block += 1 + data[block]
            parts += 1
        parts += 1
        if parts > _MOST_PARTS:
            raise EncodingError(f"the GIF image has more than {_MOST_PARTS} blocks before its first frame")
        start = block + 1
        if data[found.end() : found.end() + 1] == b"\xf9":
            kept.append(data[extension:start][:_GIF_CONTROL])
    return b"".join([*kept, data[start:]])


def _colour_table(flags: bytes) -> int:
    """Bytes of the table that a screen's flags announce."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""


_TIFF_DIRECTORIES = (34665, 34853, 40965)
"""Tags that lead to more of metadata: EXIF, GPS and interoperability."""


def _tiff(data: bytes) -> bytes:
    """A TIFF whose first directory, which Pillow reads completely, holds no more than the file, and leads nowhere."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2] == 43  # as Pillow has it
    count_layout, entry_layout, first = ("Q", "HHQ8s", 8) if is_big else ("H", "HHI4s", 4)
    entry = struct.Struct(order + entry_layout)
    word = struct.Struct(order + ("Q" if is_big else "I"))
    others = []
    try:
        (directory,) = word.unpack_from(data, first)
        (tags,) = struct.unpack_from(order + count_layout, data, directory)
        if tags > _MOST_TAGS:
            raise EncodingError(f"the TIFF image has more than {_MOST_TAGS} tags")
        total, small = 0, dict[int, int]()
        start = directory + struct.calcsize(order + count_layout)
        for position in range(start, start + tags * entry.size, entry.size):
            tag, kind, values, value = entry.unpack_from(data, position)
            if tag in _TIFF_DIRECTORIES:
                others.append((position, tag))
            size = _TIFF_SIZES.get(kind, 0) * values
            if size <= len(value):
                if kind in (3, 4) and values == 1:
                    small[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)[0]
                continue
            total += size
            if total > len(data):
                raise EncodingError("the TIFF image is damaged: its tags hold more than the whole file")
            if kind not in (1, 2, 6, 7) and values > _MOST_VALUES:
                raise EncodingError(f"the TIFF image has a tag of more than {_MOST_VALUES} values")
    except (struct.error, OverflowError):  # the other where an offset has more bits than memory
        return data  # too short: Pillow says so
    tile = small.get(322, 0) * small.get(323, 0)
    if tile > max(_LARGEST_TILE, 4 * small.get(256, 0) * small.get(257, 0)):
        raise EncodingError("the TIFF image has tiles that are much larger than itself")
    if not others:
        return data
    renamed = bytearray(data)
    for position, tag in others:
        struct.pack_into(order + "H", renamed, position, tag - 1)  # a number that means nothing, still in order
    return bytes(renamed)


def _bmp(data: bytes) -> bytes:
    """The file itself: one with run lengths is small enough for a decoder in Python."""
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return data
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (1, 2):
        pixels = abs(width) * abs(height)
        if pixels > _MOST_RLE_PIXELS or abs(width) > _WIDEST_RLE or len(data) > 4 * pixels + 2**16:
            raise EncodingError(
                f"the BMP image is run-length encoded and too large for that: up to {_MOST_RLE_PIXELS} pixels are read"
            )
    return data


_PPM_HEAD = re.compile(
    rb"P([1-6])(?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})(?:(?:\s|#[^\n]*\n)+(\d{1,5}))?"
)
_LONGEST_PPM_HEAD = 2**16


def _ppm(data: bytes) -> bytes:
    """The file itself: one whose numbers are text, or no bytes, is small enough for a decoder in Python."""
    head = _PPM_HEAD.match(data[:_LONGEST_PPM_HEAD])
    if head is None:
        return data  # Pillow says so
    number, width, height, most = head.groups()
    is_plain = number in (b"1", b"2", b"3")
    if is_plain or (number in (b"5", b"6") and most != b"255"):
        samples = int(width) * int(height) * (3 if number in (b"3", b"6") else 1)
        if samples > _MOST_PPM_SAMPLES:
            kind = "written as text" if is_plain else f"of {(most or b'0').decode()} levels"
            raise EncodingError(
                f"the PPM image is {kind} and too large for that: up to {_MOST_PPM_SAMPLES} samples are read"
            )
        if is_plain and len(data) > _MOST_PPM_TEXT * samples + _LONGEST_PPM_HEAD:
            raise EncodingError("the PPM image is damaged: it has more text than numbers")
        if number in (b"2", b"3") and not data[-1:].isspace():  # the last number may lack digits
            raise EncodingError("the PPM image is truncated or damaged: no line ends it")
    return data


def _jpeg2000(data: bytes) -> bytes:
    """The file itself, if what it announces is in bounds: OpenJPEG makes room for all of it before it decodes."""
    start, end = (0, len(data)) if data.startswith(_CODESTREAM) else _codestream(data)
    if data[start : start + 4] != _CODESTREAM or end < start + 42 or data[end - 2 : end] != b"\xff\xd9":
        # OpenJPEG makes a picture of any part of one.
        raise EncodingError("the JPEG 2000 image is truncated or damaged: its pixels do not end with their marker")
    size, right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components = struct.unpack_from(
        ">H2x8IH", data, start + 4
    )
    width, height = right - left, bottom - top
    if not (width > 0 and height > 0 and tile_width > 0 and tile_height > 0 and size == 38 + 3 * components):
        raise EncodingError("the JPEG 2000 image is damaged: its size is none")
    if components > _MOST_COMPONENTS or width * height > _MOST_JPEG2000_PIXELS:
        raise EncodingError(
            f"the JPEG 2000 image is too large: {width} x {height} pixels of {components} components; up to "
            f"{_MOST_JPEG2000_PIXELS} of {_MOST_COMPONENTS} are read"
        )
    if -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height) > _MOST_TILES:
        raise EncodingError(f"the JPEG 2000 image is in more than {_MOST_TILES} tiles")
    return data


def _codestream(data: bytes) -> tuple[int, int]:
    """Where the contents of the box of pixels begin and end; an empty place where there is none, or part of one."""
    start = 0
    for _ in range(_MOST_PARTS):
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        kind, end = data[start + 4 : start + 8], start + size if size else len(data)
        if end < start + header or end > len(data):
            return 0, 0
        if kind == b"jp2c":
            return start + header, end
        if end == len(data):
            return 0, 0
        start = end
    raise EncodingError(f"the JPEG 2000 image is in more than {_MOST_PARTS} boxes")


_READERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"GIF8": _gif,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"MM*\0": _tiff,
    b"II\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
    b"BM": _bmp,
    **dict.fromkeys((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), _ppm),
    b"\0\0\0\x0cjP  ": _jpeg2000,
    _CODESTREAM: _jpeg2000,
}
