"""Annotated pictures: legible, inside the frame, in the frame of the stored pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vfnet_client.detections import DetectedBox, Detections
from vfnet_client.drawing import PALETTE, annotate, colour_of, draw_detections
from vfnet_client.exceptions import InvalidImageError

NOTHING = Detections([])
LEFT_HALF = Detections([DetectedBox(0.0, 0.0, 0.5, 1.0, "person", 0.9)])


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def columns_of(drawn: Image.Image, label: str) -> np.ndarray:
    """The columns of a picture in which the colour of a class shows."""
    return np.flatnonzero((np.asarray(drawn) == colour_of(label)).all(axis=2).any(axis=0))


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000), (1000, 60), (60, 1000), (32, 32), (1, 1)])
def test_a_box_lies_where_its_fractions_say(size: tuple[int, int]) -> None:
    drawn = draw_detections(Image.new("RGB", size), LEFT_HALF)
    columns = columns_of(drawn, "person")
    assert columns[0] == 0
    outline = np.asarray(drawn)[-1]  # the last row has the box's lower line and no label
    assert np.flatnonzero((outline == colour_of("person")).all(axis=1))[-1] == round(drawn.width / 2) - 1


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (200, 20)])
def test_a_tiny_picture_is_enlarged_by_a_whole_number(size: tuple[int, int]) -> None:
    drawn = draw_detections(Image.new("RGB", size), NOTHING)
    assert drawn.width % size[0] == drawn.height % size[1] == 0
    assert drawn.width // size[0] == drawn.height // size[1] > 1
    assert min(drawn.size) >= 160


@pytest.mark.parametrize("size", [(640, 480), (5000, 4)])
def test_a_picture_of_readable_size_keeps_its_pixels(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(draw_detections(Image.fromarray(noise), NOTHING)), noise)


@pytest.mark.parametrize(
    "corner", [(0.0, 0.0, 0.02, 0.02), (0.98, 0.98, 1.0, 1.0), (0.99, 0.0, 1.0, 0.01), (0.0, 0.99, 0.01, 1.0)]
)
def test_a_label_at_the_edge_stays_inside_and_whole(corner: tuple[float, float, float, float]) -> None:
    at_edge = draw_detections(Image.new("RGB", (640, 480)), Detections([DetectedBox(*corner, "person", 0.5)]))
    inside = draw_detections(
        Image.new("RGB", (640, 480)), Detections([DetectedBox(0.5, 0.5, 0.52, 0.52, "person", 0.5)])
    )
    # The plate is as long as anywhere else, so nothing was cut off.
    assert np.ptp(columns_of(at_edge, "person")) == np.ptp(columns_of(inside, "person"))


def test_a_long_label_shrinks_to_the_width_of_the_picture() -> None:
    box = DetectedBox(0.4, 0.5, 0.6, 0.9, "a class with quite a long name", 0.5)
    columns = columns_of(draw_detections(Image.new("RGB", (160, 480)), Detections([box])), box.label)
    assert 0 <= columns[0] < columns[-1] <= 159


def test_the_higher_score_is_drawn_last() -> None:
    same = (0.2, 0.2, 0.8, 0.8)
    low, high = DetectedBox(*same, "dog", 0.2), DetectedBox(*same, "cat", 0.9)
    assert colour_of("dog") != colour_of("cat")
    for boxes in ([low, high], [high, low]):
        drawn = draw_detections(Image.new("RGB", (500, 500)), Detections(boxes))
        assert drawn.getpixel((100, 300)) == colour_of("cat")


def test_colours_are_stable_and_apart() -> None:
    assert colour_of("person") == (0, 130, 200)  # the same on every machine, in every run
    assert len({colour_of(name) for name in ("can", "carton", "milk_bottle", "water_bottle")}) == 4
    assert len({colour_of(f"class{i}") for i in range(80)}) > len(PALETTE) // 2
    pairs = [(a, b) for i, a in enumerate(PALETTE) for b in PALETTE[:i]]
    assert min(sum(abs(x - y) for x, y in zip(a, b, strict=True)) for a, b in pairs) > 60


def test_exif_orientation_is_ignored_and_not_saved() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer would turn it
    drawing, suffix = annotate(encoded(Image.new("RGB", (640, 480)), "JPEG", exif=exif), LEFT_HALF)
    with Image.open(io.BytesIO(drawing)) as image:
        assert (image.size, image.format, suffix) == ((640, 480), "JPEG", ".jpg")
        assert not image.getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_every_mode_is_drawn_on(mode: str) -> None:
    drawn = draw_detections(Image.new(mode, (640, 480)), LEFT_HALF)
    assert drawn.mode == "RGB"
    assert columns_of(drawn, "person")[-1] == 319


def test_sixteen_bits_are_scaled_to_eight() -> None:
    samples = np.linspace(0, 65535, 640, dtype=np.uint16)[None].repeat(480, axis=0)
    drawing, suffix = annotate(encoded(Image.fromarray(samples)), NOTHING)
    with Image.open(io.BytesIO(drawing)) as image:
        assert suffix == ".png"
        assert np.abs(np.asarray(image)[0, :, 0].astype(int) - samples[0] / 257).max() <= 1


def test_alpha_is_dropped_without_compositing() -> None:
    drawn = draw_detections(Image.new("RGBA", (640, 480), (200, 100, 50, 0)), NOTHING)
    assert drawn.getpixel((10, 10)) == (200, 100, 50)


@pytest.mark.parametrize("broken", [b"", b"no image", encoded(Image.effect_noise((300, 300), 50))[:2000]])
def test_what_cannot_be_read_is_an_invalid_image(broken: bytes) -> None:
    with pytest.raises(InvalidImageError, match="cannot draw on it"):
        annotate(broken, NOTHING)
