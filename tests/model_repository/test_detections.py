"""From candidates to detections: scale, order, thresholds, and the JSON of the contract."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vfnet_runtime.answers import Detections, detect
from vfnet_runtime.suppression import Suppression

CLASSES = ("can", "carton", "milk_bottle", "water_bottle")
UNSCALED = np.ones(2, np.float32)
OWN = Suppression(iou_threshold=0.6, max_per_img=100)


def candidates(*rows: tuple[float, int], padding: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(score, label) of boxes that lie apart, by falling score; then `padding` rows that are none."""
    boxes = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(len(rows))] + [[0, 0, 9, 9]] * padding, np.float32)
    scores = np.array([score for score, _ in rows] + [0] * padding, np.float32)
    labels = np.array([label for _, label in rows] + [0] * padding, np.int32)
    return boxes.reshape(-1, 4), scores, labels


def found(*rows: tuple[float, int], max_per_img: int = 100, score_threshold: float = 0.0) -> list[tuple[float, int]]:
    result = detect(*candidates(*rows, padding=3), UNSCALED, Suppression(0.6, max_per_img, score_threshold))
    assert result.boxes.dtype == result.scores.dtype == np.float32
    assert result.labels.dtype == np.int32
    return [
        (round(score, 6), label) for score, label in zip(result.scores.tolist(), result.labels.tolist(), strict=True)
    ]


def test_they_are_ordered_by_class_then_by_falling_score() -> None:
    assert found((0.9, 2), (0.8, 0), (0.7, 2), (0.7, 1), (0.6, 0)) == [(0.8, 0), (0.6, 0), (0.7, 1), (0.9, 2), (0.7, 2)]


def test_equal_scores_keep_their_order() -> None:
    boxes, scores, labels = candidates((0.5, 1), (0.5, 1), (0.5, 1))
    assert detect(boxes, scores, labels, UNSCALED, OWN).boxes.tolist() == boxes.tolist()


def test_the_best_are_taken_whatever_their_class() -> None:
    assert found((0.9, 3), (0.8, 0), (0.7, 1), (0.6, 0), max_per_img=2) == [(0.8, 0), (0.9, 3)]


def test_what_has_no_score_is_no_detection() -> None:
    assert found() == []
    result = detect(*candidates(padding=5), UNSCALED, OWN)
    assert result.boxes.shape == (0, 4)
    assert result.scores.shape == result.labels.shape == (0,)


def test_the_threshold_is_strict() -> None:
    rows = ((0.9, 0), (0.5, 0), (0.25, 1))
    assert found(*rows, score_threshold=0.5) == [(0.9, 0)]
    assert found(*rows, score_threshold=float(np.nextafter(np.float32(0.5), np.float32(0)))) == [(0.9, 0), (0.5, 0)]
    assert found(*rows, score_threshold=0.0) == [(0.9, 0), (0.5, 0), (0.25, 1)]
    assert found((1.0, 0), score_threshold=1.0) == []


def test_the_threshold_only_drops_and_never_lets_in() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 200, (400, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (400, 2))], axis=1).astype(np.float32)
    scores = np.sort(rng.uniform(0.05, 1, 400).astype(np.float32))[::-1].copy()
    labels = rng.integers(0, 4, 400).astype(np.int32)
    whole = detect(boxes, scores, labels, UNSCALED, OWN)
    assert len(whole.scores) == 100
    for threshold in (0.05, 0.5, 0.8, 0.95):
        raised = detect(boxes, scores, labels, UNSCALED, Suppression(0.6, 100, threshold))
        above = whole.scores > np.float32(threshold)
        np.testing.assert_array_equal(raised.boxes, whole.boxes[above])
        np.testing.assert_array_equal(raised.scores, whole.scores[above])
        np.testing.assert_array_equal(raised.labels, whole.labels[above])


def test_boxes_are_divided_by_the_scale_of_their_axis_before_suppression() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 45, 100, 145]], np.float32)  # IoU 55 / 145 in either frame
    result = detect(boxes, np.float32([0.9, 0.8]), np.int32([0, 0]), np.float32([2, 0.5]), OWN)
    assert result.boxes.tolist() == [[0, 0, 50, 200], [0, 90, 50, 290]]
    # As mmdet, in float32: 3 / 1.1 there is not 3 / 1.1 in float64.
    result = detect(np.float32([[0, 0, 3, 3]]), np.float32([0.9]), np.int32([0]), np.float32([1.1, 1.1]), OWN)
    assert result.boxes[0, 2] == np.float32(3) / np.float32(1.1)


def test_the_json_has_the_bytes_of_the_contracts_sample() -> None:
    result = Detections(np.float32([[50, 40, 400, 140]]), np.array([0.98]), np.int32([1]))
    assert result.to_json(CLASSES, 500, 200) == (
        '{"boxes": [{"box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.8, "bottomY": 0.7}, '
        '"label": "carton", "score": 0.98}]}'
    )


def test_no_detection_is_an_empty_list() -> None:
    result = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    assert result.to_json(CLASSES, 500, 200) == '{"boxes": []}'


@pytest.mark.parametrize("label", ['Öl "x" \\', "瓶", "a\tb"])
def test_class_names_of_any_script_survive(label: str) -> None:
    result = Detections(np.float32([[1, 2, 3, 4]]), np.float32([0.5]), np.int32([0]))
    assert json.loads(result.to_json([label], 10, 10))["boxes"][0]["label"] == label


def test_numbers_are_written_with_every_digit_of_theirs() -> None:
    boxes, scores = np.float32([[1 / 3, 2 / 3, 100 / 7, 100 / 3]]), np.float32([0.1])
    entry = json.loads(Detections(boxes, scores, np.int32([0])).to_json(CLASSES, 499, 666))["boxes"][0]
    assert np.float32(entry["score"]) == scores[0]
    back = np.array(list(entry["box"].values())) * (499, 666, 499, 666)
    np.testing.assert_array_equal(back.astype(np.float32), boxes[0])
