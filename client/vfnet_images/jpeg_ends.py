"""JPEGs that lack their end marker, which cameras and card readers leave out: told from those that lack pixels.

OpenCV reads such a file as if the marker were there (`cv2.imread`; libjpeg puts one in). It does the same with a file
that was cut in two, whose other half is grey. So what is read here is only what whatever might have followed could not
change.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

END = b"\xff\xd9"
NOTE = "the JPEG lacks its end marker; no pixel is missing"
"""For people, of a file that was read all the same."""

_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_AFTER_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""The next marker in compressed data, which has 0 or a restart's number after each 255."""
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_START_OF_SCAN, _RESTART_INTERVAL, _END = 0xDA, 0xDD, 0xD9
_COEFFICIENTS = 64
_UNSEEN = 255
_TAIL_BYTES = 4096
"""More than the codes of a unit of ten blocks take: some of its blocks may lie outside of the picture and hide what is
missing of the others."""
_TAILS = (
    bytes(_TAIL_BYTES),
    b"\xff\0" * (_TAIL_BYTES // 2),
    *(random.Random(seed).randbytes(_TAIL_BYTES).replace(b"\xff", b"\xfe") for seed in range(3)),
)


def lacks_end_marker(data: bytes) -> bool:
    """Whether a JPEG's compressed data end with the file instead of with the marker. Takes a look at the last bytes.

    Where something follows the compressed data, such as the second picture of an MPO, they are searched.
    """
    if not data.startswith(b"\xff\xd8") or data.endswith(END):
        return False
    return not any(kind == _END for kind, _ in _markers(data))


def endings(data: bytes) -> Iterator[bytes] | None:
    """Files that begin with `data`, which lack the end marker, and go on as they might have. None: scans are missing.

    The first is what libjpeg makes of it. If all of them have the same pixels, none is missing from `data`.
    """
    frame, has_restarts = _frame(data)
    if not _is_complete(frame):
        return None
    start = data[:-1] if data.endswith(b"\xff") else data
    tails = list(_TAILS)
    if has_restarts:
        last = _RESTART.findall(data, data.rfind(b"\xff\xda"))[-1:]
        number = (last[0][0] + 1) % 8 if last else 0
        tails += [bytes([0xFF, 0xD0 + number]) + tail for tail in _TAILS[2:]]
    return (start + tail + END for tail in (b"", *tails))


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG hold every bit of every coefficient of every component."""
    return _is_complete(_frame(data)[0])


def _is_complete(frame: dict[int, list[int]]) -> bool:
    return bool(frame) and all(level == 0 for levels in frame.values() for level in levels)


def _frame(data: bytes) -> tuple[dict[int, list[int]], bool]:
    """For each component how many low bits are missing of each coefficient; whether there are restart markers."""
    levels: dict[int, list[int]] = {}
    is_progressive = has_restarts = False
    for kind, segment in _markers(data):
        if kind in _FRAMES and len(segment) > 5:
            is_progressive = kind in _PROGRESSIVE
            levels = {segment[6 + 3 * index]: [_UNSEEN] * _COEFFICIENTS for index in range((len(segment) - 6) // 3)}
        elif kind == _RESTART_INTERVAL:
            has_restarts = has_restarts or any(segment)
        elif kind == _START_OF_SCAN and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            span, level = (range(first, min(last, 63) + 1), bits & 15) if is_progressive else (range(64), 0)
            for component in segment[1 : 1 + 2 * segment[0] : 2]:
                for index in span if component in levels else ():
                    levels[component][index] = level
    return levels, has_restarts


def _markers(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and what their segments hold, up to the end marker or the file's end."""
    start, pattern = 2, _MARKER
    while (marker := pattern.search(data, start)) is not None:
        kind = marker[1][0]
        start = marker.end()
        if kind == _END:
            yield kind, b""
            return
        if 0xD0 <= kind <= 0xD8 or kind == 0x01:
            continue
        size = int.from_bytes(data[start : start + 2], "big")
        yield kind, data[start + 2 : start + size]
        start += size
        pattern = _AFTER_SCAN if kind == _START_OF_SCAN else _MARKER
