"""What libjpeg-turbo decodes by itself is what Pillow makes of it; what could be answered otherwise is left to it."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from shared_data import SHARED
from vfnet_images import turbo_jpegs
from vfnet_images.decoding import ImageError, decode_image, decode_with_pillow
from vfnet_images.turbo_jpegs import decode_usual_jpeg

PIXELS = 10**8
PHOTOS = sorted((SHARED / "data").rglob("*.jpg"))
MUTANTS = 6000
"""Of each seed; about a second."""


def jpeg(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def mpo(image: Image.Image) -> bytes:
    """Of two pictures."""
    out = io.BytesIO()
    image.save(out, "MPO", save_all=True, append_images=[image.rotate(180)])
    return out.getvalue()


def by_itself(data: bytes) -> np.ndarray | None:
    """What libjpeg-turbo makes of a file; None where Pillow is asked."""
    return decode_usual_jpeg(data, PIXELS)


def outcome(decode: Callable[[bytes, int], np.ndarray], data: bytes) -> np.ndarray | str:
    """Pixels, or the words for why not."""
    try:
        return decode(data, PIXELS)
    except ImageError as error:
        return str(error)


def assert_as_pillow(data: bytes) -> bool:
    """That nobody can tell who decoded it; whether libjpeg-turbo did by itself."""
    found, expected = outcome(decode_image, data), outcome(decode_with_pillow, data)
    assert isinstance(found, str) == isinstance(expected, str), (found, expected)
    if isinstance(found, str):
        assert found == expected
    else:
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert found.flags.writeable or not expected.flags.writeable
        np.testing.assert_array_equal(found, expected)
    return by_itself(data) is not None


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Of 131 x 97, so that blocks are cut off on both sides."""
    coarse = np.random.default_rng(3).integers(0, 256, (17, 22, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((131, 97))


USUAL: dict[str, Callable[[Image.Image], bytes]] = {
    "4:2:0": lambda picture: jpeg(picture, subsampling=2),
    "4:2:2": lambda picture: jpeg(picture, subsampling=1),
    "4:4:4": lambda picture: jpeg(picture, subsampling=0),
    "4:4:0": lambda picture: simplejpeg.encode_jpeg(np.array(picture), 85, "RGB", "440", False),
    "4:1:1": lambda picture: simplejpeg.encode_jpeg(np.array(picture), 85, "RGB", "411", False),
    "grey": lambda picture: jpeg(picture.convert("L")),
    "RGB": lambda picture: jpeg(picture, keep_rgb=True),
    "Adobe's RGB": lambda picture: with_segment(jpeg(picture), b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"),
    "MPO": mpo,
    "progressive": lambda picture: jpeg(picture, progressive=True),
    "progressive grey": lambda picture: jpeg(picture.convert("L"), progressive=True),
    "optimised": lambda picture: jpeg(picture, optimize=True),
    "best": lambda picture: jpeg(picture, quality=100),
    "worst": lambda picture: jpeg(picture, quality=1),
    "restarts": lambda picture: jpeg(picture, restart_marker_blocks=3),
    "metadata": lambda picture: jpeg(picture, comment=b"x" * 3000, exif=picture.getexif(), dpi=(300, 300)),
    "one pixel": lambda picture: jpeg(picture.crop((0, 0, 1, 1))),
    "something behind": lambda picture: jpeg(picture) + bytes(100) + jpeg(picture),
}


def changed_frame(data: bytes, at: int, value: int) -> bytes:
    """A byte of the frame's segment, counted from its marker."""
    changed = bytearray(data)
    changed[data.index(b"\xff\xc0") + at] = value
    return bytes(changed)


def without_segment(data: bytes, marker: bytes) -> bytes:
    """Without the first of that kind."""
    start = data.index(marker)
    (size,) = struct.unpack_from(">H", data, start + 2)
    return data[:start] + data[start + 2 + size :]


def without_last_scan(data: bytes) -> bytes:
    """A picture all the same, but less sharp."""
    return data[: data.rindex(b"\xff\xda")] + data[-2:]


def with_scans(data: bytes, count: int) -> bytes:
    """Its last scan again and again."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def with_segment(data: bytes, segment: bytes) -> bytes:
    return data[:2] + segment + data[2:]


LEFT_TO_PILLOW: dict[str, Callable[[Image.Image], bytes]] = {
    "CMYK": lambda picture: jpeg(picture.convert("CMYK")),
    "cut": lambda picture: jpeg(picture)[:-40],
    "without its end": lambda picture: jpeg(picture)[:-2],
    "progressive without its last scan": lambda picture: without_last_scan(jpeg(picture, progressive=True)),
    "progressive of many scans": lambda picture: with_scans(jpeg(picture, progressive=True), 300),
    "many scans": lambda picture: with_scans(jpeg(picture), 300),
    "many segments": lambda picture: with_segment(jpeg(picture), b"\xff\xfe\0\3x" * 1001),
    "12 bits": lambda picture: changed_frame(jpeg(picture), 4, 12),
    "arithmetic": lambda picture: changed_frame(jpeg(picture), 1, 0xC9),
    "lossless": lambda picture: changed_frame(jpeg(picture), 1, 0xC3),
    "no height": lambda picture: changed_frame(changed_frame(jpeg(picture), 5, 0), 6, 0),
    "odd sampling": lambda picture: changed_frame(jpeg(picture), 11, 0x31),
    "sampled chroma": lambda picture: changed_frame(jpeg(picture), 14, 0x22),
    "no tables": lambda picture: without_segment(jpeg(picture), b"\xff\xdb"),
    "two frames": lambda picture: with_segment(jpeg(picture), b"\xff\xc0" + jpeg(picture).split(b"\xff\xc0")[1][:17]),
    "filled markers": lambda picture: jpeg(picture).replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "rubbish between": lambda picture: with_segment(jpeg(picture), b"\0\0\0"),
    "short JFIF": lambda picture: with_segment(without_segment(jpeg(picture), b"\xff\xe0"), b"\xff\xe0\0\x07JFIF\0"),
    "short Adobe": lambda picture: with_segment(jpeg(picture), b"\xff\xee\0\x08Adobe\0"),
    "a number of lines": lambda picture: with_segment(jpeg(picture), b"\xff\xdc\0\4\0\x61"),
    "nothing after its frame": lambda picture: jpeg(picture)[: jpeg(picture).index(b"\xff\xda")],
    "a PNG": lambda picture: b"\x89PNG\r\n\x1a\n" + jpeg(picture),
    "no bytes": lambda _picture: b"\xff\xd8\xff",
}


@pytest.mark.parametrize("kind", USUAL)
def test_a_usual_jpeg_is_decoded_without_pillow_to_the_same_pixels(kind: str, picture: Image.Image) -> None:
    assert assert_as_pillow(USUAL[kind](picture))


@pytest.mark.parametrize("kind", LEFT_TO_PILLOW)
def test_what_is_not_usual_or_not_whole_is_left_to_pillow(kind: str, picture: Image.Image) -> None:
    assert not assert_as_pillow(LEFT_TO_PILLOW[kind](picture))


def test_every_kind_of_file_is_answered_as_by_pillow_wherever_it_is_cut(
    encoding: str, encoded_images: dict[str, bytes]
) -> None:
    data = encoded_images[encoding]
    for end in (*range(0, len(data), max(1, len(data) // 40)), *range(max(0, len(data) - 8), len(data) + 1)):
        is_by_itself = assert_as_pillow(data[:end])
        assert encoding.startswith(("jpeg", "mpo")) or not is_by_itself


def test_a_byte_changed_among_the_compressed_data_is_answered_as_by_pillow(picture: Image.Image) -> None:
    """Where libjpeg-turbo warns, what its version makes of the damage is not the question: Pillow's is asked."""
    data = jpeg(picture, quality=60)
    start, roads = data.index(b"\xff\xda") + 14, set()
    for at in range(start, len(data), 3):
        roads.add(assert_as_pillow(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]))
    assert roads == {True, False}  # some damage is code for another picture


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_jpegs_are_answered_as_by_pillow(seed: int) -> None:
    """Whatever libjpeg-turbo decodes by itself, Pillow decodes to the same; elsewhere it is Pillow who answers."""
    made = random.Random(seed)
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    files = [make(Image.fromarray(coarse).resize((53, 37))) for make in USUAL.values()]
    by_themselves = 0
    for _ in range(MUTANTS):
        data = damaged(made.choice(files), made)
        found = by_itself(data)
        if found is not None:
            by_themselves += 1
            np.testing.assert_array_equal(found, decode_with_pillow(data, PIXELS))
    assert MUTANTS // 20 < by_themselves < MUTANTS


def damaged(data: bytes, made: random.Random) -> bytes:
    """Bytes changed, taken away or put in, half of the time among the headers."""
    changed = bytearray(data)
    for _ in range(made.randint(1, 3)):
        at = made.randrange(min(len(changed), made.choice((40, 650, len(changed)))))
        what = made.randrange(4)
        if what < 2:
            changed[at] = made.choice((0, 255, made.randrange(256)))
        elif what == 2:
            del changed[at : at + made.randint(1, 30)]
        else:
            marker = bytes([0xFF, made.choice((0xC0, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xFE, 0xFF))])
            changed[at:at] = made.choice((marker, marker + b"\0\4\0\1", made.randbytes(3)))
        changed = changed or bytearray(b"\xff\xd8\xff")
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS, reason="needs ../shared")
def test_real_photos_give_pillows_pixels() -> None:
    roads = [assert_as_pillow(path.read_bytes()) for path in PHOTOS[::4]]
    assert sum(roads) > 0.9 * len(roads)


def test_more_pixels_than_are_allowed_are_refused_in_the_same_words(picture: Image.Image) -> None:
    data = jpeg(picture)
    for limit in (131 * 97 - 1, 131 * 97 // 2 - 1):
        with pytest.raises(ImageError) as expected:
            decode_with_pillow(data, limit)
        with pytest.raises(ImageError, match=f"too large: .*{limit} pixels") as found:
            decode_image(data, limit)
        assert str(found.value) == str(expected.value)
    assert decode_image(data, 131 * 97).shape == (97, 131, 3)


def test_no_memory_is_said_in_the_same_words(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(turbo_jpegs.simplejpeg, "decode_jpeg", fails)
    monkeypatch.setattr(Image.core, "new", fails)
    with pytest.raises(ImageError, match=r"the image \(131 x 97\) does not fit into memory"):
        decode_image(jpeg(picture))


def test_without_simplejpeg_pillow_decodes(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "simplejpeg.py").write_text("raise ImportError\n")
    (tmp_path / "a.jpg").write_bytes(jpeg(picture))
    code = """
import sys
from pathlib import Path
from vfnet_images import turbo_jpegs
from vfnet_images.decoding import decode_image
assert turbo_jpegs.simplejpeg is None
sys.stdout.buffer.write(decode_image(Path(sys.argv[1]).read_bytes()).tobytes())
"""
    package = str(Path(turbo_jpegs.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.jpg")],
        env={"PYTHONPATH": f"{tmp_path}:{package}"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == decode_image(jpeg(picture)).tobytes()
