from __future__ import annotations

import pytest

from made_up_detections import detections
from vfnet_data import DetectionDataset
from vfnet_evaluate.matching import NOTHING, confusion_matrix, find_operating_point, match
from vfnet_model.detectors.image_detections import ImageDetections

CAN, CARTON = 0, 1


def test_the_better_score_gets_the_object_and_the_other_one_is_wrong(dataset: DetectionDataset) -> None:
    image = dataset.images[1]
    matched = match(image, detections(([20, 20, 120, 95], 0.5, CAN), ([20, 20, 120, 90], 0.8, CAN)))
    assert matched.found.scores.tolist() == [0.8, 0.5]
    assert matched.truth_of.tolist() == [0, NOTHING]
    assert matched.wrong(image) == 1


def test_the_own_class_goes_before_a_better_score_of_another(dataset: DetectionDataset) -> None:
    image = dataset.images[1]
    matched = match(image, detections(([20, 20, 120, 100], 0.9, CARTON), ([20, 20, 120, 100], 0.3, CAN)))
    assert matched.truth_of.tolist() == [NOTHING, 0]


def test_what_lies_on_a_crowd_of_its_class_is_ignored(dataset: DetectionDataset) -> None:
    on_crowd = detections(([110, 60, 150, 100], 0.9, CARTON), ([110, 60, 150, 100], 0.9, CAN))
    matched = match(dataset.images[0], on_crowd)
    assert matched.ignored.tolist() == [True, False]
    assert matched.missed.tolist() == [0, 1]


def test_the_confusion_matrix_counts_right_wrong_missed_and_false(dataset: DetectionDataset) -> None:
    found = [
        detections(([10, 10, 50, 50], 0.9, CAN), ([60, 10, 100, 90], 0.8, CAN), ([110, 60, 150, 100], 0.7, CARTON)),
        detections(([0, 100, 20, 120], 0.6, CARTON)),
    ]
    matches = [match(image, each) for image, each in zip(dataset.images, found, strict=True)]
    assert confusion_matrix(dataset, matches).tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_the_operating_point_is_where_f1_is_best(dataset: DetectionDataset) -> None:
    found = [
        detections(([0, 100, 20, 120], 0.2, CAN), ([10, 10, 50, 50], 0.9, CAN)),  # served: by class, not by score
        detections(([20, 20, 120, 100], 0.7, CAN), ([0, 0, 9, 9], 0.6, CAN)),
    ]
    point = find_operating_point(dataset, found)
    assert point.score_threshold == 0.7
    assert (point.precision, point.recall, point.f1) == pytest.approx((1, 2 / 3, 0.8))


def test_a_threshold_does_not_part_equal_scores(dataset: DetectionDataset) -> None:
    found = [detections(([10, 10, 50, 50], 0.5, CAN)), detections(([0, 0, 9, 9], 0.5, CAN))]
    point = find_operating_point(dataset, found)
    assert (point.precision, point.recall) == pytest.approx((1 / 2, 1 / 3))


def test_without_detections_there_is_no_such_point(dataset: DetectionDataset) -> None:
    assert find_operating_point(dataset, [ImageDetections.none()] * 2).f1 == 0
