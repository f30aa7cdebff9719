"""Files made to cost more than their pixels do: refused, or read in bounded memory and time."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfnet_images import decoding as image_decoding

SCRIPT = """
import json, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vfnet_images.decoding import ImageError, decode_image

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024

for path in sys.argv[2:]:
    data = Path(path).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from here on
    before, started = status("VmRSS"), time.process_time()
    try:
        what = list(decode_image(data, 10**8).shape)
    except ImageError as error:
        what = str(error)
    print(json.dumps([what, status("VmHWM") - before, time.process_time() - started]))
"""
SIDE = 4100
"""Of large images, whose conversion is in bands."""


def encoded(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def png_chunk(kind: bytes, contents: bytes) -> bytes:
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def small(format_name: str, **options: Any) -> bytes:
    return encoded(Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)), format_name, **options)


def jpeg_with(segment: bytes, count: int) -> bytes:
    data = small("JPEG")
    return data[:2] + segment * count + data[2:]


def jpeg_of_scans(count: int, claimed_side: int = 2000) -> bytes:
    """A progressive one whose last scan comes again and again; it may claim to be larger than it is."""
    data = encoded(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    last, size = data.rindex(b"\xff\xda"), data.index(b"\xff\xc2") + 5
    data = data[:size] + struct.pack(">HH", claimed_side, claimed_side) + data[size + 4 :]
    return data[:last] + data[last:-2] * count + data[-2:]


def gif_with_comment(blocks: int) -> bytes:
    data = small("GIF")
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:start] + b"!\xfe" + (b"\xff" + bytes(255)) * blocks + b"\0" + data[start:]


def tiff(tags: list[tuple[int, int, int, int]], pixels: bytes = bytes(48)) -> bytes:
    """Of 4 x 4 grey pixels; `tags` are numbers, types, counts and values or offsets."""
    usual = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    usual += [(277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 16)]
    merged = {tag[0]: tag for tag in (*usual, *tags)}
    entries = b"".join(struct.pack("<HHII", *merged[number]) for number in sorted(merged))
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(merged)) + entries + bytes(4)


def tiff_whose_tags_share(tags: int, megabytes: int) -> bytes:
    size = megabytes * 2**20
    return tiff([(40000 + number, 7, size, 8) for number in range(tags)], bytes(size))


def tiff_whose_exif_tags_share() -> bytes:
    """The bomb is in a directory that the first one leads to."""
    size = 2**20
    pixels, entries = bytes(size), b""
    for number in range(400):
        entries += struct.pack("<HHII", 40000 + number, 7, size, 8)
    pixels += struct.pack("<H", 400) + entries + bytes(4)
    return tiff([(34665, 4, 1, 8 + size)], pixels)


def jpeg2000_claiming(width: int, height: int, tile: int) -> bytes:
    data = bytearray(small("JPEG2000"))
    size = data.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">IIIIII", data, size, width, height, 0, 0, tile, tile)
    return bytes(data)


def bmp_of_runs(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + header + bytes(1024) + b"\1\7" * 1000


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg of many segments": ("in more than 100000 segments", lambda: jpeg_with(b"\xff\xe1\0\x09Exif\0\0x", 200_000)),
    "jpeg of many comments": ("in more than 100000 segments", lambda: jpeg_with(b"\xff\xfe\0\2", 200_000)),
    "jpeg of many scans": ("in more than 100 scans", lambda: jpeg_of_scans(300)),
    "large jpeg of fewer scans": ("in more than 26 scans", lambda: jpeg_of_scans(60, claimed_side=9000)),
    "jpeg of an unknown segment": ("a segment of no known kind", lambda: jpeg_with(b"\xff\xf0\0\2", 1)),
    "gif of many blocks": ("more than 100000 blocks", lambda: gif_with_comment(150_000)),
    "png of many chunks": (
        "in more than 100000 chunks",
        lambda: small("PNG")[:33] + png_chunk(b"IDAT", b"") * 200_000 + small("PNG")[33:],
    ),
    "tiff of many tags": ("more than 1000 tags", lambda: tiff([(1000 + n, 3, 1, 1) for n in range(5000)])),
    "tiff whose tags share": ("tags hold more than the whole file", lambda: tiff_whose_tags_share(500, 4)),
    "tiff of many strips": ("a tag of more than", lambda: tiff([(273, 4, 2**19, 8)], bytes(2**21))),
    "tiff of huge tiles": (
        "tiles that are much larger",
        lambda: tiff([(322, 4, 1, 30000), (323, 4, 1, 30000), (324, 4, 1, 8), (325, 4, 1, 48)]),
    ),
    "bmp of runs": ("run-length encoded", lambda: bmp_of_runs(9000, 9000)),
    "bmp of wide runs": ("run-length encoded", lambda: bmp_of_runs(10**7, 1)),
    "ppm of text": ("written as text and too large", lambda: b"P2\n9000 9000\n255\n" + b"1 " * 10**6),
    "ppm of many levels": ("of 65535 levels and too large", lambda: b"P6 9000 9000 65535 " + bytes(10**6)),
    "ppm of more text than numbers": ("more text than numbers", lambda: b"P3 1 1 255 " + b"0" * 10**6),
    "jpeg 2000 of many pixels": ("too large: 9000 x 9000", lambda: jpeg2000_claiming(9000, 9000, 9000)),
    "jpeg 2000 of many tiles": ("in more than 4096 tiles", lambda: jpeg2000_claiming(4000, 4000, 8)),
    "not of the contract: eps": ("not an image in a known format", lambda: small("EPS")),
    "not of the contract: ico": ("not an image in a known format", lambda: small("ICO")),
}
READ: dict[str, Callable[[], bytes]] = {
    "jpeg of EXIF segments": lambda: jpeg_with(b"\xff\xe1\x01\x08Exif\0\0" + bytes(256), 50_000),
    "gif with a long comment": lambda: gif_with_comment(60_000),
    "tiff whose EXIF tags share": tiff_whose_exif_tags_share,
}


def costs(files: dict[str, bytes], folder: Path) -> dict[str, tuple[Any, int, float]]:
    """For each file a shape or the reason why not, bytes at most beside the file, and processor seconds."""
    paths = []
    for number, data in enumerate(files.values()):
        paths.append(folder / str(number))
        paths[-1].write_bytes(data)
    command = [sys.executable, "-c", SCRIPT, str(Path(image_decoding.__file__).parent), *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    return dict(zip(files, (json.loads(line) for line in lines), strict=True))


def test_what_costs_more_than_its_pixels_is_refused_at_once(tmp_path: Path) -> None:
    files = {name: make() for name, (_, make) in REFUSED.items()}
    for name, (what, memory, seconds) in costs(files, tmp_path).items():
        assert isinstance(what, str), name
        assert REFUSED[name][0] in what, name
        assert memory < 2 * len(files[name]) + 40 * 2**20, name
        assert seconds < 2, name


def test_long_metadata_costs_what_it_takes_to_skip_it(tmp_path: Path) -> None:
    files = {name: make() for name, make in READ.items()}
    for name, (what, memory, seconds) in costs(files, tmp_path).items():
        assert what == [4, 4, 3], name
        assert memory < 3 * len(files[name]) + 40 * 2**20, name
        assert seconds < 2, name  # joined one by one, they took minutes


@pytest.mark.slow
def test_a_large_image_takes_as_many_bytes_a_pixel_whatever_its_kind(tmp_path: Path) -> None:
    photo = Image.fromarray(np.tile(np.arange(SIDE, dtype=np.uint16).astype(np.uint8)[:, None], (SIDE, 1, 3)))
    grey = np.asarray(photo.convert("L"))
    alpha = photo.copy()
    alpha.putalpha(128)
    deflate = {"compression": "tiff_adobe_deflate"}
    files = {
        "jpeg": encoded(photo, "JPEG"),
        "png RGBA": encoded(alpha, "PNG", compress_level=1),
        "tiff CMYK": encoded(photo.convert("CMYK"), "TIFF", **deflate),
        "tiff float": encoded(Image.fromarray(grey / np.float32(255)), "TIFF", **deflate),
        "tiff int32": encoded(Image.fromarray(grey.astype(np.int32) * 257), "TIFF", **deflate),
        "jpeg without its end": encoded(photo, "JPEG")[:-2],
        "png 16 bit": encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG", compress_level=1),
    }
    for name, (what, memory, _) in costs(files, tmp_path).items():
        assert what == [SIDE, SIDE, 3], name
        assert (memory - 2 * len(files[name])) / SIDE**2 < 11, name  # a float TIFF took 32


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L", "P", "1"])
def test_bands_give_the_pixels_of_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1).integers(0, 255, (67, 41, 3), np.uint8)
    image = Image.fromarray(random).convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    whole = image_decoding.decode_image(data, 10**8)
    monkeypatch.setattr(image_decoding, "_WHOLE_PIXELS", 0)
    monkeypatch.setattr(image_decoding, "_BAND_PIXELS", 300)
    np.testing.assert_array_equal(image_decoding.decode_image(data, 10**8), whole)


def test_deep_levels_are_scaled_by_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.linspace(-3, 1000, 67 * 41, dtype=np.float32).reshape(67, 41)
    for values in (levels, levels / 1000, (levels * 100).astype(np.int32), (levels * 60).clip(0).astype(np.uint16)):
        data = encoded(Image.fromarray(values), "TIFF")
        whole = image_decoding.decode_image(data, 10**8)
        with monkeypatch.context() as patch:
            patch.setattr(image_decoding, "_BAND_PIXELS", 300)
            np.testing.assert_array_equal(image_decoding.decode_image(data, 10**8), whole)
