"""What images are decoded to, against OpenCV, the reference's decoder, and against the pixels put in."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared_data import SHARED, needs_shared
from vfnet_images.decoding import ImageError, decode_image

PNGSUITE = sorted((SHARED / "data" / "pngsuite").glob("*.png"))
EXIF_ORIENT = sorted((SHARED / "data" / "exif_orient").glob("*.jpg"))

OPENCV_DIFFERS = {
    "gif": "OpenCV 4.11 reads no GIF as it is built",
    "gif transparent": "OpenCV 4.11 reads no GIF as it is built",
    "gif animated": "OpenCV 4.11 reads no GIF as it is built",
    "tiff RGBA": "OpenCV multiplies TIFF colours by alpha",
    "tiff int32": "OpenCV reads no TIFF of 32 bits",
    "tiff float 0..1": "OpenCV reads no TIFF of 32 bits",
    "tiff float 0..255": "OpenCV reads no TIFF of 32 bits",
}
"""Why OpenCV is no reference there; `EXPECTED` says what is right."""

LOSSLESS = ("png", "png RGBA", "apng", "apng default image", "webp lossless", "webp lossless alpha", "bmp", "bmp alpha")
LOSSLESS += ("tiff", "tiff LZW", "tiff deflate", "tiff RGBA", "tiff pages")
LOSSLESS += ("ppm", "ppm text", "jpeg 2000", "jpeg 2000 RGBA", "jpeg 2000 codestream")
GREY = ("png grey 16 bit", "png LA", "tiff grey 16 bit", "tiff int32", "tiff float 0..1", "tiff float 0..255")
GREY += ("ppm grey", "ppm grey 16 bit", "jpeg 2000 grey 16 bit")
PALETTE = ("png palette transparent", "gif", "gif transparent", "gif animated", "bmp palette")
BILEVEL = ("ppm 1 bit", "png 1 bit", "bmp 1 bit", "tiff 1 bit", "tiff fax")


def decode(data: bytes) -> np.ndarray:
    pixels = decode_image(data, max_image_pixels=10**8)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    return pixels


def opencv(data: bytes) -> np.ndarray | None:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if bgr is None else bgr[:, :, ::-1]


def encode(pixels: np.ndarray, format_name: str = "TIFF") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_name)
    return out.getvalue()


@needs_shared
def test_pngsuite_and_exif_orient_are_there_whole() -> None:
    assert len(PNGSUITE) == 175
    assert len(EXIF_ORIENT) == 18


@pytest.mark.parametrize("path", PNGSUITE, ids=lambda path: path.stem)
def test_pngsuite_gives_opencvs_pixels_or_an_error_where_it_is_broken(path: Path) -> None:
    data = path.read_bytes()
    if path.name.startswith("x"):
        assert opencv(data) is None
        with pytest.raises(ImageError, match=r"PNG|not an image in a known format"):
            decode(data)
    else:
        np.testing.assert_array_equal(decode(data), opencv(data))


@pytest.mark.parametrize("path", EXIF_ORIENT, ids=lambda path: path.stem)
def test_exif_orientation_is_ignored(path: Path) -> None:
    data = path.read_bytes()
    pixels = decode(data)
    with Image.open(path) as image:
        assert pixels.shape == (image.height, image.width, 3)  # Pillow's: of the stored pixels
    np.testing.assert_array_equal(pixels, opencv(data))


@needs_shared
def test_exif_orient_holds_pixels_stored_on_their_side() -> None:
    """Otherwise the test above would show nothing."""
    shapes = {decode(path.read_bytes()).shape[:2] for path in EXIF_ORIENT if path.name.startswith("Landscape")}
    assert len(shapes) == 2


def test_every_format_gives_opencvs_pixels(encoding: str, encoded_images: dict[str, bytes]) -> None:
    data = encoded_images[encoding]
    pixels, reference = decode(data), opencv(data)
    if encoding in OPENCV_DIFFERS:
        assert reference is None or not np.array_equal(pixels, reference)  # else the entry is out of date
        return
    assert reference is not None
    if encoding in ("jpeg CMYK", "jpeg YCCK"):  # the two round the product with black differently
        assert np.abs(pixels.astype(int) - reference).max() <= 1
    else:
        np.testing.assert_array_equal(pixels, reference)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_pixels_put_in_without_alpha(
    name: str, encoded_images: dict[str, bytes], photo: np.ndarray
) -> None:
    np.testing.assert_array_equal(decode(encoded_images[name]), photo)


@pytest.mark.parametrize("name", GREY)
def test_deep_grey_keeps_its_upper_eight_bits(name: str, encoded_images: dict[str, bytes], photo: np.ndarray) -> None:
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    np.testing.assert_array_equal(decode(encoded_images[name]), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("name", PALETTE)
def test_palettes_give_their_colours_also_where_transparent(
    name: str, encoded_images: dict[str, bytes], photo: np.ndarray
) -> None:
    expected = Image.fromarray(photo).quantize().convert("RGB")
    np.testing.assert_array_equal(decode(encoded_images[name]), np.asarray(expected))


@pytest.mark.parametrize("name", BILEVEL)
def test_one_bit_is_black_or_white(name: str, encoded_images: dict[str, bytes], photo: np.ndarray) -> None:
    expected = np.asarray(Image.fromarray(photo).convert("1").convert("RGB"))
    assert set(np.unique(expected)) == {0, 255}
    np.testing.assert_array_equal(decode(encoded_images[name]), expected)


def test_cmyk_looks_like_the_photo(encoded_images: dict[str, bytes], photo: np.ndarray) -> None:
    assert np.abs(decode(encoded_images["jpeg CMYK"]).astype(int) - photo).mean() < 4  # inverted: over 50
    np.testing.assert_array_equal(decode(encoded_images["tiff CMYK"]), photo)


def test_of_several_frames_the_first_is_taken(encoded_images: dict[str, bytes], photo: np.ndarray) -> None:
    for name in ("mpo", "apng", "apng default image", "gif animated", "webp animated", "tiff pages"):
        with Image.open(io.BytesIO(encoded_images[name])) as image:
            assert getattr(image, "n_frames", 1) > 1, name
        difference = decode(encoded_images[name]).astype(int) - photo
        assert np.abs(difference).mean() < 8, name  # the second is the negative: over 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_own_orientation_is_applied_as_opencv_does(orientation: int, photo: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "TIFF", tiffinfo={274: orientation})
    pixels = decode(out.getvalue())
    assert pixels.shape == ((37, 53, 3) if orientation < 5 else (53, 37, 3))
    np.testing.assert_array_equal(pixels, opencv(out.getvalue()))


def test_long_metadata_does_not_keep_a_png_from_being_read(
    png_with_metadata: dict[str, bytes], photo: np.ndarray
) -> None:
    for data in png_with_metadata.values():
        np.testing.assert_array_equal(decode(data), photo)


def test_floats_that_are_no_numbers_are_black() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -0.5], [0, 0.2, 0.5, 1]], np.float32)
    expected = [[0, 0, 0, 0], [0, 51, 128, 255]]
    assert decode(encode(values))[:, :, 0].tolist() == expected
    assert not decode(encode(np.full((3, 4), np.nan, np.float32))).any()


def test_every_level_of_a_float_image_comes_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(encode(levels.astype(np.float32) / np.float32(255)))[:, :, 0], levels)
    np.testing.assert_array_equal(decode(encode(levels.astype(np.float32)))[:, :, 0], levels)


def test_levels_beyond_their_range_are_scaled_by_the_highest() -> None:
    assert decode(encode(np.array([[0, 500, 1000]], np.float32)))[0, :, 0].tolist() == [0, 128, 255]
    assert decode(encode(np.array([[-5, 2**30, 2**31 - 1]], np.int32)))[0, :, 0].tolist() == [0, 128, 255]
    assert decode(encode(np.array([[0, 32768, 65535]], np.int32)))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("size", [(1, 1), (60, 1000), (1000, 60), (1, 5000), (5000, 1)])
def test_any_size_from_one_pixel_up_is_decoded(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode(pixels, "PNG")), pixels)


def test_the_limit_is_on_pixels_and_inclusive() -> None:
    data = encode(np.zeros((20, 30, 3), np.uint8), "PNG")
    assert decode_image(data, max_image_pixels=600).shape == (20, 30, 3)
    with pytest.raises(ImageError, match="too large: 30 x 20 is more than 599 pixels"):
        decode_image(data, max_image_pixels=599)
    with pytest.raises(ImageError, match="too large: its header claims more than 100 pixels"):
        decode_image(data, max_image_pixels=100)
