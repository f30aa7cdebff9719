"""JPEGs between what one decoder reads and what is left to the other: damaged, of rare kinds, and made to cost much."""

from __future__ import annotations

import base64
import io
import random
import re
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from attack import DOOR, TRITON, Attack, AttackList, Reply, answered, answered_or_busy, call, grpc_port, http, post_json
from deployment import Deployment
from reference_answers import infer_request
from sweeping import SWEPT, Case, at_once, sweep

_SEGMENT = re.compile(rb"\xff[\xc0-\xfe]")
_SPOILT = 120
"""Files of which some bytes are others, by a stream of numbers that is always the same."""


def jpeg_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("JPEG")
    for subject, files in {"kinds": _kinds(), "segments": _segments(), "frames": _frames(), "ends": _ends()}.items():
        _in_every_protocol(found, subject, files)
    spoilt = _spoilt()
    for start in range(0, _SPOILT, 40):
        some = dict(list(spoilt.items())[start : start + 40])
        _in_every_protocol(found, f"other bytes, from {start} on", some)
    body = post_json("/score", _table([base64.b64encode(each).decode() for each in spoilt.values()]))
    found.add(f"/score: {_SPOILT} with other bytes, 3 callers at once", DOOR, at_once([http(DOOR, body, 90)] * 3, answered_or_busy), **SWEPT)  # fmt: skip
    for name, make in _LARGE.items():
        for target in (DOOR, TRITON):
            found.add(name, target, _infer_large(target, make), allowed=answered, is_quick=False)
    found.add("90 million pixels without an end, 4 at once", DOOR,
              at_once([_infer_large(DOOR, _large_without_end)] * 4, answered_or_busy), **SWEPT)  # fmt: skip
    return found.attacks


def _in_every_protocol(found: AttackList, subject: str, files: dict[str, bytes]) -> None:
    for target in (DOOR, TRITON):
        cases: list[Case] = [(name, _infer(target, data), answered) for name, data in files.items()]
        found.add(f"{subject}, gRPC", target, sweep(cases), **SWEPT)
    rows = [base64.b64encode(data).decode() for data in files.values()]
    found.add(
        f"/score: {subject}", DOOR, http(DOOR, post_json("/score", _table(rows)), 60), allowed=answered, is_quick=False
    )


def _table(rows: list[str]) -> dict[str, object]:
    return {"input_data": {"columns": ["image"], "data": rows}}


def _infer(target: str, image: bytes) -> Callable[[Deployment], Reply]:
    message = infer_request(image)
    return lambda deployment: call(grpc_port(deployment, target), "ModelInfer", message)


def _infer_large(target: str, make: Callable[[], bytes]) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        return call(grpc_port(deployment, target), "ModelInfer", infer_request(make()))

    return send


def _saved(mode: str = "RGB", size: tuple[int, int] = (1333, 24), **options: object) -> bytes:
    width, height = size
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    out = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def _kinds() -> dict[str, bytes]:
    """Whole files, of each kind that encoders can be asked for."""
    found = {
        f"{mode}, {sampling}, {'progressive' if progressive else 'sequential'}": _saved(
            mode, subsampling=sampling, progressive=progressive, quality=60)
        for mode in ("RGB", "L", "CMYK") for sampling in ("4:4:4", "4:2:2", "4:2:0") for progressive in (False, True)
    }  # fmt: skip
    found |= {f"quality {quality}": _saved(quality=quality) for quality in (1, 100)}
    found |= {
        f"{width} x {height}": _saved(size=(width, height))
        for width, height in ((1, 1), (1, 2000), (2000, 1), (7, 9), (17, 3), (16, 16), (15, 33))
    }
    found["restarts after each block"] = _saved(restart_marker_blocks=1)
    found["an ICC profile of 1 MB"] = _saved(icc_profile=bytes(1_000_000))
    found["a comment of 60 kB"] = _saved(comment=b"c" * 60_000)
    return found


def _places(data: bytes) -> list[tuple[int, int, int]]:
    """Kind, begin and end of each segment before the compressed data."""
    found, start = [], 2
    while _SEGMENT.match(data, start) is not None:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        found.append((data[start + 1], start, end))
        if data[start + 1] == 0xDA:
            break
        start = end
    return found


def _segments() -> dict[str, bytes]:
    """Segments left out, twice, of wrong lengths, in another order, too many."""
    data = _saved()
    places = _places(data)
    found: dict[str, bytes] = {}
    for number, (kind, begin, end) in enumerate(places):
        name, segment = f"segment {number} ({kind:#x})", data[begin:end]
        found[f"without {name}"] = data[:begin] + data[end:]
        found[f"{name} twice"] = data[:end] + segment + data[end:]
        for length in (0, 1, 2, 3, len(segment) - 3, len(segment) + 7, 65_535):
            found[f"{name} of length {length}"] = data[: begin + 2] + struct.pack(">H", length) + data[begin + 4 :]
        found[f"{name} of other contents"] = data[: begin + 4] + b"\xff" * (end - begin - 4) + data[end:]
        found[f"{name} of zeros"] = data[: begin + 4] + bytes(end - begin - 4) + data[end:]
    filler = b"\xff\xfe\0\3c"
    found |= {f"{count} comments": data[:2] + filler * count + data[2:] for count in (999, 1001, 100_001)}
    found["fill bytes"] = data[:2] + b"\xff" * 5000 + data[2:]
    found["an image within the APP1"] = data[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + data[2:]
    found["Adobe of another transform"] = data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07" + data[2:]
    found["a short JFIF"] = data[:2] + b"\xff\xe0\0\x08JFIF\0\1" + data[2:]
    return found


def _frames() -> dict[str, bytes]:
    """Frames of other kinds, sizes and samplings than the compressed data's."""
    data = _saved()
    begin = next(begin for kind, begin, _ in _places(data) if kind == 0xC0)
    found: dict[str, bytes] = {}

    def put(name: str, offset: int, value: bytes) -> None:
        found[name] = data[: begin + offset] + value + data[begin + offset + len(value) :]

    for kind in (*range(0xC1, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)):
        put(f"of kind {kind:#x}", 1, bytes([kind]))
    for bits in (0, 1, 7, 9, 12, 16, 255):
        put(f"of {bits} bits", 4, bytes([bits]))
    for height, width in (
        (0, 640),
        (24, 0),
        (0, 0),
        (65_535, 65_535),
        (65_500, 1500),
        (1, 65_535),
        (65_535, 1),
        (25, 641),
        (8, 8),
    ):
        put(f"of {width} x {height}", 5, struct.pack(">HH", height, width))
    for components in (0, 1, 2, 4, 255):
        put(f"of {components} components", 9, bytes([components]))
    for sampling in (0x00, 0x01, 0x10, 0x14, 0x33, 0x44, 0xFF, 0x41, 0x12):
        put(f"of sampling {sampling:#x}", 11, bytes([sampling]))
        put(f"of chroma {sampling:#x}", 14, bytes([sampling]))
    for table in (1, 3, 4, 255):
        put(f"of table {table}", 12, bytes([table]))
    put("of two components of one name", 13, b"\1")
    return found


def _ends() -> dict[str, bytes]:
    """Cut off, without an end, and with something behind it."""
    found: dict[str, bytes] = {}
    for name, data in (("sequential", _saved()), ("progressive", _saved(progressive=True)),
                       ("with restarts", _saved(restart_marker_blocks=2))):  # fmt: skip
        start = _places(data)[-1][2]
        for part in (0, 1, 2, 3, 5, 9):
            cut = start + (len(data) - start) * part // 10
            found[f"{name}, cut at {part} of 10"] = data[:cut]
            found[f"{name}, cut at {part} of 10 and ended"] = data[:cut] + b"\xff\xd9"
        found[f"{name}, without an end"] = data[:-2]
        found[f"{name}, half an end"] = data[:-1]
        found[f"{name}, 1 MB behind it"] = data + bytes(1_000_000)
        found[f"{name}, twice"] = data * 2
        found[f"{name}, restarts where none are"] = (
            data[: start + 20] + b"\xff\xd0\xff\xd7\xff\xd3" + data[start + 20 :]
        )
        found[f"{name}, an end in the middle"] = data[: start + 30] + b"\xff\xd9" + data[start + 30 :]
        found[f"{name}, a scan of nothing"] = data[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\xff\xd9"
    return found


@cache
def _spoilt() -> dict[str, bytes]:
    dice = random.Random(24)
    kinds = [
        _saved(),
        _saved(progressive=True),
        _saved("L"),
        _saved(restart_marker_blocks=3),
        _saved(subsampling="4:4:4"),
    ]
    found: dict[str, bytes] = {}
    for number in range(_SPOILT):
        data = bytearray(kinds[number % len(kinds)])
        first = 2 if number % 2 else _places(bytes(data))[-1][2]  # in the head too, or in the compressed data alone
        for _ in range(dice.choice((1, 2, 5, 20))):
            data[dice.randrange(first, len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        found[f"other bytes {number}"] = bytes(data)
    return found


@cache
def _large_sequential() -> bytes:
    return _saved_grey(9500, 9500, progressive=False)


def _large_without_end() -> bytes:
    return _large_sequential()[:-2]


def _large_cut() -> bytes:
    data = _large_sequential()
    return data[: len(data) - 3000]


@cache
def _large_progressive() -> bytes:
    return _saved_grey(9500, 9500, progressive=True)


@cache
def _many_scans() -> bytes:
    """The last scan, which refines, again and again: decoders go over all the coefficients for each."""
    data = _saved_grey(9000, 9000, progressive=True)
    begin = data.rindex(b"\xff\xda")
    scan = data[begin:-2]
    return data[:begin] + scan * (99 - data.count(b"\xff\xda")) + data[begin:]


def _saved_grey(width: int, height: int, *, progressive: bool) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(
        out, "JPEG", quality=50, progressive=progressive, subsampling="4:4:4"
    )
    return out.getvalue()


_LARGE: dict[str, Callable[[], bytes]] = {
    "90 million pixels": _large_sequential,
    "90 million pixels without an end": _large_without_end,
    "90 million pixels cut off": _large_cut,
    "90 million pixels, progressive": _large_progressive,
    "81 million pixels in 98 scans": _many_scans,
}
