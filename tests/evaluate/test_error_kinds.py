from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from made_up_detections import detections
from vfnet_data import DetectionDataset, read_dataset
from vfnet_evaluate.error_kinds import KINDS, error_kinds
from vfnet_model.detectors.image_detections import ImageDetections

CAN, CARTON = 0, 1


def of_cans(dataset: DetectionDataset, *rows: tuple[list[float], float, int]) -> dict[str, float]:
    """What is detected in the second image, which holds one can. That of the first is found exactly."""
    kinds = error_kinds(dataset, [detections(([10, 10, 50, 50], 0.5, CAN)), detections(*rows)])
    return {kind: kinds.area(kind, label=CAN) for kind in KINDS}


def test_an_inexact_place_is_forgiven_from_its_iou_on(dataset: DetectionDataset) -> None:
    half = of_cans(dataset, ([20, 20, 120, 68], 0.9, CAN))  # IoU 0.6
    assert half["C75"] < half["C50"] == half["Loc"] == half["FN"] == pytest.approx(1)
    loose = of_cans(dataset, ([20, 20, 120, 44], 0.9, CAN))  # IoU 0.3
    assert loose["C50"] < loose["Loc"] == pytest.approx(1)


def test_a_confused_class_is_forgiven_by_its_supercategory_or_at_last(dataset: DetectionDataset) -> None:
    # The carton of the first image is called a can, and scores more than the cans.
    found = [
        detections(([60, 10, 100, 90], 0.9, CAN), ([10, 10, 50, 50], 0.5, CAN)),
        detections(([20, 20, 120, 100], 0.5, CAN)),
    ]
    for supercategories, first in (((None, None), "Oth"), (("drink", "food"), "Oth"), (("drink", "drink"), "Sim")):
        kinds = error_kinds(replace(dataset, supercategories=supercategories), found)
        areas = {kind: kinds.area(kind, label=CAN) for kind in KINDS}
        assert areas["Loc"] == pytest.approx(2 / 3)
        assert areas[first] == pytest.approx(1)
        assert first == "Sim" or areas["Sim"] == areas["Loc"]


def test_the_background_is_forgiven_last_but_what_is_missed(dataset: DetectionDataset) -> None:
    false = of_cans(dataset, ([0, 105, 12, 119], 0.9, CAN), ([20, 20, 120, 100], 0.5, CAN))
    assert false["Oth"] == pytest.approx(2 / 3)
    assert false["BG"] == pytest.approx(1)
    missed = of_cans(dataset, ([0, 105, 12, 119], 0.1, CAN))
    assert missed["BG"] == pytest.approx(51 / 101)  # one of two cans: recall up to 0.5
    assert missed["FN"] == 1


def test_classes_without_objects_of_a_size_do_not_count(dataset: DetectionDataset) -> None:
    kinds = error_kinds(dataset, [ImageDetections.none()] * 2)
    assert kinds.area("FN", "small") == -1
    assert kinds.area("C50", "large", CARTON) == -1
    assert (kinds.area("C50"), kinds.area("FN"), kinds.area("FN", "medium")) == (0, 1, 1)


def test_supercategories_are_read_of_coco_json(annotations: Path) -> None:
    document = json.loads(annotations.read_text())
    document["categories"][0]["supercategory"] = "drink"
    document["categories"][1]["supercategory"] = 3  # nothing that would stop an evaluation
    annotations.write_text(json.dumps(document))
    read = read_dataset(annotations)
    assert dict(zip(read.classes, read.supercategories, strict=True)) == {"can": "drink", "carton": None}
