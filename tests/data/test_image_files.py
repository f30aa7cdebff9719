"""Sizes of image files, of those too that Pillow alone would refuse: whoever trains decodes as the server does."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_data.image_files import ImageFileError, read_header
from vfnet_train.augmentation import decode_image_file


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((48, 32), 40).convert("RGB").save(out, kind)
    return out.getvalue()


def with_long_text(png: bytes) -> bytes:
    """Three megabytes, as image generators write of how they made it, packed."""
    text = b"zTXtprompt\0\0" + zlib.compress(b"a cat " * 500_000)
    return png[:33] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + png[33:]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("long_text.png", with_long_text(encoded("PNG"))),
        ("no_end.jpg", encoded("JPEG")[:-2]),
        ("a.jp2", encoded("JPEG2000")),
        ("a.ppm", encoded("PPM")),
        ("a", encoded("GIF")),
    ],
)
def test_what_is_served_is_measured_and_trained_on(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_header(tmp_path / name).size == (48, 32)
    assert decode_image_file(tmp_path / name).shape == (32, 48, 3)


def test_a_long_text_changes_no_pixel(tmp_path: Path) -> None:
    png = encoded("PNG")
    (tmp_path / "a.png").write_bytes(with_long_text(png))
    with Image.open(io.BytesIO(png)) as image:
        np.testing.assert_array_equal(decode_image_file(tmp_path / "a.png"), np.asarray(image))


def test_a_cut_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG")[:-300])
    with pytest.raises(ImageFileError, match="truncated"):
        read_header(tmp_path / "a.jpg")
