"""The mix of image sizes, and the pictures that are sent."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from shared_data import SHARED, needs_shared
from vfnet_load.coco_sizes import COCO_SIZES, ImageSize, shares_of, uniform_size
from vfnet_load.pictures import make_picture, read_sizes


@needs_shared
def test_the_shares_are_those_of_the_annotations() -> None:
    sizes = []
    for split in ("train", "val"):
        path = SHARED / "data" / "coco_free" / "annotations" / f"instances_{split}2017.json"
        sizes += [ImageSize(image["width"], image["height"]) for image in json.loads(path.read_text())["images"]]
    assert shares_of(sizes) == COCO_SIZES


def test_the_shares_are_of_one_whole() -> None:
    assert sum(COCO_SIZES.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("size", "canvas"),
    [((640, 480), (1088, 800)), ((480, 640), (800, 1088)), ((640, 427), (1216, 800)), ((4000, 100), (1344, 64))],
)
def test_canvases_are_those_of_the_stock_configuration(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    assert ImageSize(*size).canvas() == ImageSize(*canvas)


def test_the_uniform_size_gives_the_network_as_many_pixels_as_the_mix() -> None:
    def pixels(size: ImageSize) -> int:
        return size.canvas().width * size.canvas().height

    mean = sum(share * pixels(size) for size, share in COCO_SIZES.items())
    assert pixels(uniform_size()) == pytest.approx(mean, rel=0.015)


@pytest.mark.parametrize("text", ["", "640", "640x", "0x480", "-1x5", "axb"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="640x480"):
        read_sizes(text)


def test_a_picture_is_a_jpeg_of_its_size_and_of_a_photos_weight() -> None:
    picture = make_picture(ImageSize(640, 427))
    with Image.open(io.BytesIO(picture.jpeg)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", (640, 427))
    assert 0.35 < len(picture.jpeg) / (640 * 427) < 0.65
    assert make_picture(ImageSize(640, 427)) == picture
    assert picture.digest != make_picture(ImageSize(427, 640)).digest
