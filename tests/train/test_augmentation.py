"""Boxes move with the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vfnet_data.dataset import AnnotatedImage
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_train.augmentation import augment, choose_scale, distort_colours, flip_boxes, resize_boxes
from vfnet_train.settings import AugmentationSettings

PREPROCESS = PreprocessConfig(img_scale=(120, 90))
BOX = (10, 20, 50, 40)


def annotated(folder: Path, crowd: bool = False) -> AnnotatedImage:
    """A white box on black."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    Image.fromarray(pixels).save(folder / "box.png")
    boxes = np.array([BOX], np.float32)
    return AnnotatedImage(folder / "box.png", 1, 80, 60, boxes, np.zeros(1, np.int64), np.array([crowd]))


def extent(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """x1 y1 x2 y2 of what is bright."""
    rows, columns = np.nonzero(pixels[..., 0] > 0)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)


@pytest.mark.parametrize("flip_probability", [0.0, 1.0])
@pytest.mark.parametrize("scale", [(120, 90), (40, 30), (100, 37)])
def test_boxes_stay_on_their_objects(flip_probability: float, scale: tuple[int, int], tmp_path: Path) -> None:
    settings = AugmentationSettings(scales=(scale,), flip_probability=flip_probability)
    sample = augment(annotated(tmp_path), settings, PREPROCESS, np.random.default_rng(0))
    assert sample.pixels.shape[0] <= min(scale)
    assert sample.pixels.shape[1] <= max(scale)
    np.testing.assert_allclose(extent(sample.pixels), sample.boxes[0], atol=1)


def test_pixels_are_normalised_in_the_networks_channel_order(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    image = AnnotatedImage(tmp_path / "red.png", 1, 8, 8, *nothing)
    bgr = PreprocessConfig((8, 8), mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 5.0), to_rgb=False)
    sample = augment(image, AugmentationSettings(), bgr, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.pixels[0, 0], np.array([-10.0, -10.0, 45.0], np.float32))


def test_crowd_boxes_are_left_out(tmp_path: Path) -> None:
    sample = augment(annotated(tmp_path, crowd=True), AugmentationSettings(), PREPROCESS, np.random.default_rng(0))
    assert sample.boxes.shape == (0, 4)
    assert sample.labels.shape == (0,)


def test_the_same_random_numbers_give_the_same_sample(tmp_path: Path) -> None:
    settings = AugmentationSettings(scales=((80, 60), (120, 90)), multiscale_mode="range", photometric_distortion=True)
    first, second = (augment(annotated(tmp_path), settings, PREPROCESS, np.random.default_rng(5)) for _ in range(2))
    other = augment(annotated(tmp_path), settings, PREPROCESS, np.random.default_rng(6))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.pixels.shape != other.pixels.shape or not np.array_equal(first.pixels, other.pixels)


def test_scales_by_value_are_those_given_and_by_range_lie_between() -> None:
    random = np.random.default_rng(0)
    scales = ((1333, 480), (1333, 960))
    by_value = {choose_scale(AugmentationSettings(scales), (1, 1), random) for _ in range(50)}
    assert by_value == set(scales)
    by_range = [choose_scale(AugmentationSettings(scales, "range"), (1, 1), random) for _ in range(200)]
    assert {longest for longest, _ in by_range} == {1333}
    assert all(480 <= shortest <= 960 for _, shortest in by_range)
    assert len({shortest for _, shortest in by_range}) > 50


def test_without_scales_the_checkpoints_own_serves() -> None:
    assert choose_scale(AugmentationSettings(), (1333, 800), np.random.default_rng(0)) == (1333, 800)


def test_resized_boxes_are_clipped_to_the_image() -> None:
    found = resize_boxes(np.array([[-2, 5, 90, 70]], np.float32), (60, 80), (30, 40))
    np.testing.assert_array_equal(found, [[0, 2.5, 40, 30]])


def test_flipping_twice_gives_the_boxes_back() -> None:
    boxes = np.array([BOX], np.float32)
    np.testing.assert_array_equal(flip_boxes(flip_boxes(boxes, 80), 80), boxes)


def test_distortion_of_grey_changes_brightness_and_contrast_alone() -> None:
    grey = np.full((4, 4, 3), 128, np.uint8)
    for seed in range(20):
        distorted = distort_colours(grey, np.random.default_rng(seed))
        assert np.ptp(distorted) < 1e-3  # still grey, still even
        assert (128 - 32) * 0.5 - 1e-3 <= distorted.min() <= (128 + 32) * 1.5 + 1e-3


def test_distortion_turns_hues_by_at_most_18_degrees() -> None:
    red = np.zeros((1, 1, 3), np.float32)
    red[..., 0] = 200
    hues = []
    for seed in range(60):
        hue = cv2.cvtColor(distort_colours(red, np.random.default_rng(seed)) / 255, cv2.COLOR_RGB2HSV)[0, 0, 0]
        hues.append(min(abs(hue - primary) for primary in (0, 120, 240, 360)))  # channels may have changed places
    assert 5 < max(hues) < 18.1
