from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from vfnet_data import DetectionDataset
from vfnet_evaluate.coco_evaluation import FIGURES, evaluate_detections
from vfnet_model.detectors.image_detections import ImageDetections


def perfect(dataset: DetectionDataset) -> list[ImageDetections]:
    return [
        ImageDetections(
            image.boxes[~image.crowd].astype(np.float64), np.full(np.sum(~image.crowd), 0.9), image.labels[~image.crowd]
        )
        for image in dataset.images
    ]


def test_the_truth_itself_scores_one(dataset: DetectionDataset) -> None:
    evaluation = evaluate_detections(dataset, perfect(dataset))
    assert tuple(evaluation.figures) == FIGURES
    assert evaluation.ap == pytest.approx(1)
    assert evaluation.figures["APs"] == -1  # nothing below 32 x 32
    assert {name: each.objects for name, each in evaluation.per_class.items()} == {"can": 2, "carton": 1}


def test_nothing_found_scores_nought(dataset: DetectionDataset) -> None:
    evaluation = evaluate_detections(dataset, [ImageDetections.none()] * 2)
    assert evaluation.figures["AP"] == evaluation.figures["AR100"] == 0


def test_figures_belong_to_their_class_whatever_its_category_id(dataset: DetectionDataset) -> None:
    found = perfect(dataset)
    found[1] = ImageDetections.none()
    per_class = evaluate_detections(dataset, found).per_class
    can, carton = asdict(per_class["can"]), asdict(per_class["carton"])
    assert carton["AP"] == pytest.approx(1)
    assert can["AR100"] == pytest.approx(0.5)
    assert can["AP"] == pytest.approx(51 / 101)  # COCO samples 101 recalls, 51 of them up to a half


def test_detections_on_a_crowd_do_no_harm_and_elsewhere_they_do(dataset: DetectionDataset) -> None:
    first, second = perfect(dataset)
    for box, expected in (([110, 60, 150, 100], 1.0), ([0, 60, 40, 100], 0.5)):
        more = ImageDetections(
            np.append(first.boxes, [box], axis=0), np.append(first.scores, 0.95), np.append(first.labels, 1)
        )
        carton = asdict(evaluate_detections(dataset, [more, second]).per_class["carton"])
        assert carton["AP"] == pytest.approx(expected)


def test_a_class_without_objects_does_not_count(dataset: DetectionDataset) -> None:
    more = replace(dataset, classes=("can", "carton", "bottle"), category_ids=())
    evaluation = evaluate_detections(more, perfect(dataset))
    assert evaluation.per_class["bottle"].AP == -1
    assert evaluation.ap == pytest.approx(1)


def test_sizes_are_judged_by_the_areas_that_the_data_state(dataset: DetectionDataset) -> None:
    small = tuple(replace(image, areas=np.full(len(image.boxes), 100.0)) for image in dataset.images)
    figures = evaluate_detections(replace(dataset, images=small), perfect(dataset)).figures
    assert figures["APs"] == pytest.approx(1)
    assert figures["APl"] == -1
