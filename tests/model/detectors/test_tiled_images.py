"""Images detected in by this process in tiles: how many are held at once, and what comes of them."""

from __future__ import annotations

import weakref
from io import BytesIO
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import InvalidImageError
from vfnet_model.augmentations import Augmentations
from vfnet_model.detectors import network_detector
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.network_detector import NetworkDetector
from vfnet_model.detectors.test_time_augmentation import View, views_of
from vfnet_model.detectors.tiled_pixels import merged_tiles, tiled
from vfnet_runtime.architecture.config import HeadConfig, PreprocessConfig, TestConfig, VFNetConfig
from vfnet_tiling.tiling import Tiling

CONFIG = VFNetConfig(
    ("can", "carton"),
    preprocess=PreprocessConfig(img_scale=(64, 64)),
    head=HeadConfig(strides=(32,)),
    test=TestConfig(nms_pre=20, score_threshold=0.05, iou_threshold=0.6, max_per_img=200),
)
MANY = Tiling(tile_grid_size=(20, 16), tile_overlap_ratio=0.3)
TILES = 20 * 16
IMAGE = np.random.default_rng(7).integers(0, 256, (512, 640, 3), np.uint8)


def sees_brightness(pixels: Any, _valid_shape: Any) -> list[Any]:
    """A box around each cell of 32 pixels, the surer the brighter."""
    cells = pixels[0].reshape(2, 32, 2, 32, 3).mean((1, 3, 4), np.float32) / 255
    logits = np.stack([4 * cells - 2, 2 - 4 * cells]).astype(np.float32)
    return [logits, np.full((4, 2, 2), 14, np.float32)]


def encoded(pixels: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After each tile was resized: how many of the resized ones are in memory."""
    counts, alive = list[int](), set[int]()
    numbers = count()

    def counted(*given: Any) -> list[View]:
        views = views_of(*given)
        for view in views:
            number = next(numbers)
            alive.add(number)
            weakref.finalize(view.image.pixels, alive.discard, number)
        counts.append(len(alive))
        return views

    monkeypatch.setattr(network_detector, "views_of", counted)
    return counts


@pytest.mark.parametrize("augmentations", [Augmentations(), Augmentations(flip=True)], ids=str)
def test_few_tiles_are_in_memory_at_once_however_many_there_are(augmentations: Augmentations, live: list[int]) -> None:
    detector = NetworkDetector(CONFIG, sees_brightness, augmentations, MANY)
    results = list(detector.detect_many([encoded(IMAGE)] * 3))
    views = 2 if augmentations.flip else 1
    assert len(live) == 3 * (TILES + 1)
    assert max(live) <= 6 * views  # two ahead, two on the threads, one in the network, and one that waits to be let go
    for one, other in pairwise(results):
        assert isinstance(one, ImageDetections)
        assert isinstance(other, ImageDetections)
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_what_is_found_is_what_each_tile_alone_gives_merged() -> None:
    detector = NetworkDetector(CONFIG, sees_brightness, tiling=MANY)
    plain = NetworkDetector(CONFIG, sees_brightness)
    tiles = tiled(IMAGE, MANY)
    alone = [plain.detect(encoded(tile.of(IMAGE))) for tile in tiles]
    expected = merged_tiles(tiles, alone, MANY, 0.6, 200)
    for found in (detector.detect(encoded(IMAGE)), *detector.detect_many([encoded(IMAGE)])):
        assert isinstance(found, ImageDetections)
        assert len(found.scores) == 200
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_bad_image_among_tiled_ones_is_an_error_of_its_own() -> None:
    small = encoded(IMAGE[:100, :100])
    bad, untiled, cut = NetworkDetector(CONFIG, sees_brightness, tiling=MANY).detect_many(
        [b"no image", small, encoded(IMAGE)]
    )
    assert isinstance(bad, InvalidImageError)
    assert isinstance(untiled, ImageDetections)
    plain = NetworkDetector(CONFIG, sees_brightness).detect(small)
    np.testing.assert_array_equal(untiled.boxes, plain.boxes)
    assert isinstance(cut, ImageDetections)


def test_options_hold_for_the_tiles_and_for_what_is_merged() -> None:
    options = DetectionOptions.chosen(max_detections=7, classes=["carton"], nms_iou=0.2)
    found = NetworkDetector(CONFIG, sees_brightness, tiling=MANY).with_options(options).detect(encoded(IMAGE))
    assert found.labels.tolist() == [1] * 7
