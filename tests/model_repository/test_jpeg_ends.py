"""JPEGs that lack their end marker are read as OpenCV reads them; those that lack a pixel are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from shared_data import SHARED
from vfnet_images.decoding import ImageError, decode_image
from vfnet_images.jpeg_ends import lacks_end_marker

END = 2
"""Bytes of the marker."""


def jpeg(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "baseline": jpeg,
    "progressive": lambda photo: jpeg(photo, progressive=True),
    "grey": lambda photo: jpeg(photo.convert("L")),
    "4:4:4": lambda photo: jpeg(photo, subsampling=0),
    "restarts": lambda photo: jpeg(photo, restart_marker_blocks=2),
    "progressive with restarts": lambda photo: jpeg(photo, progressive=True, restart_marker_rows=1),
    "one grey": lambda photo: jpeg(Image.new("RGB", photo.size, (128, 128, 128))),  # as what is missing looks
    "white": lambda photo: jpeg(Image.new("RGB", photo.size, (255, 255, 255))),
    "a strip": lambda photo: jpeg(photo.crop((0, 0, 53, 3))),  # most of each block lies outside
}


def opencv_file(data: bytes, folder: Path) -> np.ndarray:
    """RGB, as `cv2.imread` has it; `cv2.imdecode` wants a byte more than the file has."""
    path = folder / "image.jpg"
    path.write_bytes(data)
    return cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[:, :, ::-1]


@pytest.mark.parametrize("name", FILES)
def test_without_its_end_marker_it_has_the_same_pixels(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    data = FILES[name](Image.fromarray(photo))
    whole = decode_image(data)
    for end in (data[:-1], data[:-END], data[:-END] + bytes(5)):  # card readers fill up with zeros
        assert lacks_end_marker(end)
        np.testing.assert_array_equal(decode_image(end), whole)
        np.testing.assert_array_equal(opencv_file(end, tmp_path), whole)
    assert not lacks_end_marker(data)


def test_a_large_one_without_its_end_marker_is_refused(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see that it lacks nothing costs as much as eight of it."""
    data = jpeg(Image.fromarray(photo))[:-END]
    monkeypatch.setattr("vfnet_images.decoding._MOST_WITHOUT_END", photo.shape[0] * photo.shape[1] - 1)
    with pytest.raises(ImageError, match="the JPEG image is truncated or damaged"):
        decode_image(data)
    monkeypatch.setattr("vfnet_images.decoding._MOST_WITHOUT_END", photo.shape[0] * photo.shape[1])
    assert decode_image(data).shape == photo.shape


@pytest.mark.parametrize("name", FILES)
def test_cut_anywhere_else_it_is_refused(name: str, photo: np.ndarray) -> None:
    data = FILES[name](Image.fromarray(photo))
    for cut in range(len(data) - END):
        with pytest.raises(ImageError):
            decode_image(data[:cut])


def test_a_progressive_one_that_ends_between_scans_is_refused(photo: np.ndarray) -> None:
    data = jpeg(Image.fromarray(photo), progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        with pytest.raises(ImageError, match="truncated"):
            decode_image(data[:scan])


def test_what_follows_the_end_marker_is_not_taken_for_a_missing_one(encoded_images: dict[str, bytes]) -> None:
    for data in (encoded_images["jpeg"] + b"SEFT trailer", encoded_images["mpo"], encoded_images["png"], b""):
        assert not lacks_end_marker(data)


def test_the_field_s_own() -> None:
    path = SHARED / "field" / "ann" / "noeoi.jpg"
    if not path.is_file():
        pytest.skip("without ../shared")
    np.testing.assert_array_equal(decode_image(path.read_bytes()), cv2.imread(str(path))[:, :, ::-1])
