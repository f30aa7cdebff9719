"""Whatever bytes come: pixels, or an ImageError with a reason for the person who sent them."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vfnet_images.decoding import ImageError, decode_image
from vfnet_images.kinds import KINDS

PIXELS = 10**8
JPEG_TAIL = 2
"""A JPEG's last bytes, the end marker, after the last pixel."""
BEGINNINGS = [beginning for kind in KINDS for beginning in kind.beginnings]

OURS = re.compile(
    r"the image is empty|not an image in a known format|the image is too large|the image has no pixels"
    r"|the image .*does not fit into memory|the [\w ]+ file cannot be opened: it is truncated, or its header is damaged"
    r"|the [\w ]+ image is truncated or damaged|the \w+ image is damaged: the checksum|the \w+ image's colours"
    r"|the JPEG image is damaged: it has a segment|the \w+ image is in more than \d+ (chunks|segments|scans)"
    r"|the (PPM|JPEG 2000) image is (damaged|too large|written as text|of \d+ levels|in more than|truncated)"
    r"|the GIF image has more than|the TIFF image has (more than|a tag of more than|tiles that are)"
    r"|the TIFF image is damaged: its tags|the BMP image is run-length encoded"
)
UNFIT = re.compile(r" at 0x|<_io|<PIL|/|Traceback|Error\b|object|\bNone\b|index out of|unpack|literal|argument|\n")
"""Addresses, paths, and what Python says to programmers."""


def decode_or_reason(data: bytes) -> np.ndarray | str:
    """Pixels, or the reason why not; any other exception fails the test."""
    try:
        pixels = decode_image(data, PIXELS)
    except ImageError as error:
        reason = str(error)
        assert OURS.match(reason), reason
        # The caller's own first bytes are quoted; they may hold anything.
        assert not UNFIT.search(re.sub(r"begin with .*\); known", "", reason)), reason
        assert len(reason) < 250
        return reason
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return pixels


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"the image is empty \(0 bytes\)"),
        (b"hello", r"not an image in a known format \(5 bytes that begin with b'hello'\); known are JPEG, PNG"),
        (b"<!DOCTYPE html><html>", r"not an image in a known format \(21 bytes that begin with b'<!DOCTYPE ht'\)"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"not an image in a known format but HEIC, .*: save it as JPEG \(24 "),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", r"not an image in a known format but AVIF: save it as JPEG or PNG"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            r"not an image in a known format but a pointer of Git LFS",
        ),
        (b"\x00" * 100, r"not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"not an image in a known format"),
        (b"%PDF-1.7\n", r"not an image in a known format"),
        (b"\x89PNG\r\n\x1a\n", r"the PNG file cannot be opened: it is truncated"),
        (b"\xff\xd8\xff", r"the JPEG file cannot be opened: it is truncated"),
        (b"GIF89a", r"the GIF file cannot be opened: it is truncated"),
        (b"BM", r"the BMP file cannot be opened: it is truncated"),
        (b"RIFF\x10\0\0\0WEBP", r"the WebP file cannot be opened: it is truncated"),
        (b"II*\0", r"the TIFF file cannot be opened: it is truncated"),
    ],
)
def test_what_is_no_image_gets_a_reason(data: bytes, reason: str) -> None:
    found = decode_or_reason(data)
    assert isinstance(found, str)
    assert re.match(reason, found)


def test_a_file_cut_anywhere_is_refused_or_lacks_no_pixel(encoding: str, encoded_images: dict[str, bytes]) -> None:
    data = encoded_images[encoding]
    whole = decode_or_reason(data)
    cuts = {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 40, len(data))}
    refused = 0
    for cut in cuts:
        found = decode_or_reason(data[:cut])
        if isinstance(found, str):
            refused += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert refused > 40


def test_a_truncated_jpeg_is_refused(encoded_images: dict[str, bytes]) -> None:
    for name in ("jpeg", "jpeg progressive", "jpeg grey", "jpeg 4:4:4", "jpeg RGB", "jpeg CMYK", "jpeg YCCK"):
        data = encoded_images[name]
        for cut in range(len(data) - JPEG_TAIL):
            reason = decode_or_reason(data[:cut])
            assert isinstance(reason, str), (name, cut)
            assert cut < 3 or re.match(r"the JPEG (file|image) .*truncated", reason)


def test_headers_without_pixels_are_refused(without_pixels: dict[str, bytes]) -> None:
    for name, data in without_pixels.items():
        reason = decode_or_reason(data)
        assert isinstance(reason, str), name
        assert "no pixels" in reason, name


def test_a_changed_byte_among_the_pixels_of_a_png_is_noticed(encoded_images: dict[str, bytes]) -> None:
    data = encoded_images["png"]
    start = data.index(b"IDAT") + 4
    for at in range(start, len(data) - 16, 97):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert decode_or_reason(damaged) == "the PNG image is damaged: the checksum of its IDAT chunk does not match"


def test_bombs_are_refused_at_once_and_take_no_memory(oversized: dict[str, bytes], tmp_path: Path) -> None:
    script = """
import resource, sys, time
from pathlib import Path
from vfnet_images.decoding import ImageError, decode_image

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    data, before, start = Path(path).read_bytes(), peak(), time.process_time()
    try:
        reason = f"decoded {decode_image(data, 10**8).shape}"
    except ImageError as error:
        reason = str(error)
    print(peak() - before, time.process_time() - start, reason, sep=";")
"""
    paths = []
    for name, data in oversized.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    command = [sys.executable, "-c", script, *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(oversized)
    for name, line in zip(oversized, lines, strict=True):
        kib, seconds, reason = line.split(";")
        assert reason.startswith("the image is too large: "), name
        assert int(kib) < 20 * 1024, name  # one of them once took 3 GB, and 8 s
        assert float(seconds) < 0.5, name


def test_metadata_that_unpacks_to_much_is_left_packed(png_with_metadata: dict[str, bytes]) -> None:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for name in ("zTXt", "iTXt", "iCCP"):
        assert not isinstance(decode_or_reason(png_with_metadata[name]), str)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    assert time.process_time() - start < 0.5


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    decode_or_reason(data)


@settings(max_examples=400, deadline=None)
@given(
    signature=st.sampled_from([*BEGINNINGS, b"RIFF\x40\0\0\0WEBPVP8 ", b"P5 9 9 ", b"P2 9 9 ", b"P3 9 9 5 "]),
    data=st.data(),
)
def test_random_bytes_behind_a_known_signature(signature: bytes, data: st.DataObject) -> None:
    decode_or_reason(signature + data.draw(st.binary(max_size=200)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(encoded_image: bytes, data: st.DataObject) -> None:
    damaged = bytearray(encoded_image)
    ends = st.sampled_from([min(60, len(damaged)), len(damaged)])  # half of the changes among the headers
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, data.draw(ends) - 1))] = data.draw(st.integers(0, 255))
    decode_or_reason(bytes(damaged))
