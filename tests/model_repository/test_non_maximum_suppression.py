"""Class-wise suppression against mmcv 1.7.2's, written out box by box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfnet_runtime.non_maximum_suppression import batched_nms

f32 = np.float32


def mmcv_batched_nms(boxes: np.ndarray, labels: np.ndarray, iou_threshold: float) -> list[int]:
    """mmcv's `batched_nms` and `nms_cpu` for boxes by falling score, each float32 operation by itself."""
    if len(boxes) == 0:
        return []
    largest = max(f32(value) for box in boxes for value in box)
    moved = [
        [f32(value + f32(f32(label) * f32(largest + f32(1)))) for value in box]
        for box, label in zip(boxes, labels, strict=True)
    ]
    areas = [f32(f32(x2 - x1) * f32(y2 - y1)) for x1, y1, x2, y2 in moved]
    alive = [True] * len(boxes)
    for i, first in enumerate(moved):
        if not alive[i]:
            continue
        for j in range(i + 1, len(moved)):
            second = moved[j]
            width = max(f32(0), f32(min(first[2], second[2]) - max(first[0], second[0])))
            height = max(f32(0), f32(min(first[3], second[3]) - max(first[1], second[1])))
            inter = f32(width * height)
            union = f32(f32(areas[i] + areas[j]) - inter)
            with np.errstate(invalid="ignore", divide="ignore"):
                if f32(inter / union) > f32(iou_threshold):
                    alive[j] = False
    return [index for index, value in enumerate(alive) if value]


def scene(seed: int, count: int, classes: int, size: float, empty: bool) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that often overlap by about the threshold, `empty` ones among them."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, size, (max(1, count // 6), 2))[rng.integers(0, max(1, count // 6), count)]
    corners += rng.normal(0, size / 60, (count, 2))
    sides = rng.uniform(size / 8, size / 5, (count, 2))
    if empty and count:
        sides[rng.random(count) < 0.3] *= (0, 1)
        corners[rng.random(count) < 0.2] = corners[0]
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    return boxes, rng.integers(0, classes, count).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    classes=st.sampled_from([1, 2, 4, 80]),
    size=st.sampled_from([1.0, 50.0, 1333.0, 60000.0]),
    empty=st.booleans(),
    iou_threshold=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
)
def test_random_scenes_agree_with_mmcv(
    seed: int, count: int, classes: int, size: float, empty: bool, iou_threshold: float
) -> None:
    boxes, labels = scene(seed, count, classes, size, empty)
    kept = batched_nms(boxes, labels, iou_threshold, max_num=count + 1)
    assert kept.dtype == np.int64
    assert kept.tolist() == mmcv_batched_nms(boxes, labels, iou_threshold)


@pytest.mark.parametrize("max_num", [0, 1, 2, 7, 50, 10000])
def test_stopping_early_gives_the_first_of_all(max_num: int) -> None:
    boxes, labels = scene(1, 300, 4, 500.0, empty=True)
    whole = batched_nms(boxes, labels, 0.6, max_num=300)
    assert 50 < len(whole) < 300
    np.testing.assert_array_equal(batched_nms(boxes, labels, 0.6, max_num), whole[:max_num])


def test_an_iou_of_exactly_the_threshold_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 6]], np.float32)  # 60 / 100
    assert batched_nms(boxes, np.zeros(2, np.int32), 0.6, 100).tolist() == [0, 1]
    boxes[1, 3] = 6.0001
    assert batched_nms(boxes, np.zeros(2, np.int32), 0.6, 100).tolist() == [0]


def test_classes_do_not_suppress_each_other() -> None:
    boxes = np.array([[5, 5, 90, 90]] * 160, np.float32)
    labels = np.arange(160, dtype=np.int32) % 80
    assert batched_nms(boxes, labels, 0.6, 1000).tolist() == list(range(80))


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 20, 100, 120], [0, 40, 100, 140]], np.float32)  # neighbours: 2 / 3
    assert batched_nms(boxes, np.zeros(3, np.int32), 0.6, 100).tolist() == [0, 2]


def test_empty_boxes_in_one_place_are_all_kept() -> None:
    """0 / 0 is not a number, and no number is not greater."""
    boxes = np.array([[3, 3, 3, 9]] * 3, np.float32)
    assert batched_nms(boxes, np.zeros(3, np.int32), 0.6, 100).tolist() == [0, 1, 2]


def test_rounding_of_far_classes_is_mmcvs() -> None:
    """At class 79 float32 holds 1/128 pixel; an IoU of exactly 0.6 is turned by that, as in mmcv."""
    differing = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(0, 1000, 2)
        boxes = np.array([[x, y, x + 10, y + 10], [x, y, x + 10, y + 6]], np.float32)
        boxes = np.concatenate([boxes, [[1200, 0, 1300, 5]]]).astype(np.float32)
        far, near = np.array([79, 79, 0]), np.array([0, 0, 79])
        kept = batched_nms(boxes, far, 0.6, 100).tolist()
        assert kept == mmcv_batched_nms(boxes, far, 0.6)
        differing += kept != batched_nms(boxes, near, 0.6, 100).tolist()
    assert differing  # else this shows nothing


def test_nothing_gives_nothing() -> None:
    kept = batched_nms(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), 0.6, 100)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64
