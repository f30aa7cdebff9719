"""The resize onto a canvas: mmdet's rules (reference/SPEC.md, 2 and 4), for any size."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfnet_runtime.resizing import resize_onto_canvas, resized_size

IMG_SCALE = (1333, 800)
sides = st.integers(1, 70000)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (640, 480, (1067, 800)),  # the short side decides
        (480, 640, (800, 1067)),
        (1000, 60, (1333, 80)),  # the long side decides
        (60, 1000, (80, 1333)),
        (1333, 800, (1333, 800)),
        (1332, 799, (1333, 800)),  # enlarged, by a hair
        (4000, 3000, (1067, 800)),
        (1, 1, (800, 800)),
        (2, 1, (1333, 667)),  # 666.5, half up
        (60000, 1, (1333, 1)),  # would be 0 by mmdet's rule
        (1, 60000, (1, 1333)),
        (2667, 1, (1333, 1)),  # 0.4998
        (2666, 1, (1333, 1)),  # 0.5, up
    ],
)
def test_sizes_known_beforehand(width: int, height: int, expected: tuple[int, int]) -> None:
    assert resized_size(width, height, IMG_SCALE) == expected


@given(width=sides, height=sides)
def test_sizes_follow_the_exact_rule(width: int, height: int) -> None:
    """In rational numbers; the rule itself is in floating point, so an exact half may go either way."""
    factor = min(Fraction(1333, max(width, height)), Fraction(800, min(width, height)))
    for side, found in zip((width, height), resized_size(width, height, IMG_SCALE), strict=True):
        assert 1 <= found <= 1333
        assert found == 1 or abs(found - side * factor) <= Fraction(1, 2) + Fraction(1, 10**9)
    assert min(resized_size(width, height, IMG_SCALE)) <= 800


@given(width=sides, height=sides)
def test_a_turned_image_gets_the_turned_size(width: int, height: int) -> None:
    assert resized_size(width, height, IMG_SCALE) == resized_size(height, width, IMG_SCALE)[::-1]
    assert resized_size(width, height, (800, 1333)) == resized_size(width, height, IMG_SCALE)


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (60, 1000), (1000, 60), (60000, 1), (1, 60000), (640, 480), (1333, 800), (2000, 1500), (500, 375)],
)
def test_pixels_are_opencvs_bilinear_ones_and_zero_beyond(width: int, height: int) -> None:
    image = noise(width, height)
    found = resize_onto_canvas(image, IMG_SCALE, 32)
    new_width, new_height = resized_size(width, height, IMG_SCALE)
    reference = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)

    assert found.pixels.dtype == np.uint8
    assert found.valid_shape.dtype == np.int32
    assert found.geometry.dtype == np.float32
    assert found.valid_shape.tolist() == [[new_height, new_width]]
    factors = [np.float32(new_width / width), np.float32(new_height / height)]
    assert found.geometry.tolist() == [[width, height, *factors]]

    batch, canvas_height, canvas_width, channels = found.pixels.shape
    assert (batch, channels) == (1, 3)
    assert canvas_height % 32 == canvas_width % 32 == 0
    assert 0 <= canvas_height - new_height < 32
    assert 0 <= canvas_width - new_width < 32
    np.testing.assert_array_equal(found.pixels[0, :new_height, :new_width], reference)
    assert not found.pixels[0, new_height:].any()
    assert not found.pixels[0, :, new_width:].any()
    assert found.pixels[0, :new_height, :new_width].all()


def test_an_image_of_the_final_size_keeps_its_pixels_and_is_left_as_it_is() -> None:
    image = noise(1333, 800)
    before = image.copy()
    found = resize_onto_canvas(image, IMG_SCALE, 32)
    np.testing.assert_array_equal(found.pixels[0, :800, :1333], before)
    found.pixels[:] = 0
    np.testing.assert_array_equal(image, before)


def test_one_colour_stays_one_colour() -> None:
    image = np.full((37, 53, 3), (10, 200, 30), np.uint8)
    found = resize_onto_canvas(image, IMG_SCALE, 32)
    height, width = found.valid_shape[0]
    assert (found.pixels[0, :height, :width] == (10, 200, 30)).all()


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), divisor=st.sampled_from([1, 32, 128]))
def test_the_canvas_is_the_least_multiple_that_holds_the_image(width: int, height: int, divisor: int) -> None:
    found = resize_onto_canvas(noise(width, height), (133, 80), divisor)
    for canvas, side in zip(found.pixels.shape[1:3], found.valid_shape[0], strict=True):
        assert canvas % divisor == 0
        assert canvas - divisor < side <= canvas
