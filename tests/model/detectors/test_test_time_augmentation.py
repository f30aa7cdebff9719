"""Views of an image, and the way of their boxes back."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfnet_model.augmentations import Augmentations
from vfnet_model.detectors.network_detector import NetworkDetector
from vfnet_model.detectors.test_time_augmentation import boxes_in_stored_image, merged, views_of
from vfnet_runtime.architecture.config import HeadConfig, PreprocessConfig, TestConfig, VFNetConfig
from vfnet_runtime.resizing import resize_onto_canvas

SCALES = ((80, 50), (120, 100))
IMAGE = np.random.default_rng(24).integers(0, 256, (45, 70, 3), np.uint8)
"""Neither its sides nor most of the resized ones are multiples of 32."""
CONFIG = VFNetConfig(
    ("can", "carton"),
    preprocess=PreprocessConfig(img_scale=(80, 50)),
    head=HeadConfig(strides=(32,)),
    test=TestConfig(nms_pre=20, score_threshold=0.05, iou_threshold=0.6, max_per_img=10),
)


def test_views_come_scale_by_scale_and_each_before_its_mirror_image() -> None:
    views = views_of(IMAGE, Augmentations(True, SCALES), (9, 9), 32)
    assert [(tuple(view.image.valid_shape[0]), view.mirrored) for view in views] == [
        ((50, 78), False), ((50, 78), True), ((77, 120), False), ((77, 120), True),
    ]  # fmt: skip


def test_without_scales_the_networks_own_is_taken() -> None:
    plain, mirrored = views_of(IMAGE, Augmentations(flip=True), (80, 50), 32)
    assert (plain.image.pixels == resize_onto_canvas(IMAGE, (80, 50), 32).pixels).all()
    assert (mirrored.image.geometry == plain.image.geometry).all()
    assert [view.mirrored for view in views_of(IMAGE, Augmentations(), (80, 50), 32)] == [False]


def test_the_picture_is_mirrored_and_its_padding_stays_where_it_is() -> None:
    plain, mirrored = (view.image.pixels[0] for view in views_of(IMAGE, Augmentations(flip=True), (80, 50), 32))
    assert plain.shape == mirrored.shape == (64, 96, 3)
    assert (mirrored[:50, :78] == plain[:50, 77::-1]).all()
    assert not mirrored[50:].any()
    assert not mirrored[:, 78:].any()
    assert plain[:50, :78].any()


@pytest.mark.parametrize("position", range(4))
def test_a_box_comes_back_from_every_view(position: int) -> None:
    view = views_of(IMAGE, Augmentations(True, SCALES), (9, 9), 32)[position]
    stored = np.array([[7, 4, 21, 40], [0, 0, 70, 45]], np.float32)
    height, width = view.image.valid_shape[0]
    x1, y1, x2, y2 = (stored * np.array([width / 70, height / 45] * 2)).T
    seen = np.stack([width - x2, y1, width - x1, y2] if view.mirrored else [x1, y1, x2, y2], axis=1)
    back = boxes_in_stored_image(seen.astype(np.float32), view)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, stored, atol=1e-4)


def test_merging_keeps_every_candidate_with_its_score_and_class() -> None:
    views = views_of(IMAGE, Augmentations(scales=SCALES), (9, 9), 32)
    found = [
        (np.full((2, 4), number, np.float32), np.array([number / 10, 0], np.float32), np.array([number, 0], np.int32))
        for number in (5, 7)
    ]
    boxes, scores, labels = merged(views, found)
    assert boxes.shape == (4, 4)
    assert scores.tolist() == np.array([0.5, 0, 0.7, 0], np.float32).tolist()
    assert labels.tolist() == [5, 0, 7, 0]


def encoded() -> bytes:
    buffer = BytesIO()
    Image.fromarray(IMAGE).save(buffer, "png")
    return buffer.getvalue()


def sees_a_can_at_the_left(pixels: Any, valid_shape: Any) -> list[Any]:
    """A can at the left of every view, 32 pixels wide, the surer the larger the view."""
    height, width = (side // 32 for side in pixels.shape[1:3])
    logits = np.full((2, height, width), -9, np.float32)
    logits[0, 0, 0] = valid_shape[0, 1] / 100
    return [logits, np.full((4, height, width), 32, np.float32)]


def test_what_several_views_show_is_found_once_and_what_one_shows_too() -> None:
    plain = NetworkDetector(CONFIG, sees_a_can_at_the_left).detect(encoded())
    np.testing.assert_allclose(plain.boxes, [[0, 0, 32 * 70 / 78, 32 * 45 / 50]], rtol=1e-6)

    flipped = NetworkDetector(CONFIG, sees_a_can_at_the_left, Augmentations(flip=True))
    found = flipped.detect(encoded())
    assert sorted(found.boxes[:, 0].tolist()) == pytest.approx([0, 70 - 32 * 70 / 78], rel=1e-6)
    assert (found.scores == plain.scores[0]).all()
    assert [each.boxes.tolist() for each in flipped.detect_many([encoded()])] == [found.boxes.tolist()]

    alike = NetworkDetector(CONFIG, sees_a_can_at_the_left, Augmentations(scales=((80, 50), (86, 54))))
    (score,) = alike.detect(encoded()).scores  # one suppression over both: the surer one stays
    assert score > plain.scores[0]
