"""What a request changes of how its boxes are chosen, and what it cannot."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from overlapping_boxes import overlapping_boxes
from vfnet_runtime.answers import detect
from vfnet_runtime.suppression import ClassNames, OptionError, Suppression

OWN = Suppression(iou_threshold=0.6, max_per_img=100)
NAMES = ClassNames(["can", "Carton", "milk bottle", "3", "can"])
REFUSED = [
    ({"score_threshold": float("nan")}, "SCORE_THRESHOLD must be within 0..1, not nan"),
    ({"nms_iou": -0.5}, "NMS_IOU must be within 0..1, not -0.5"),
    ({"max_detections": 0}, "MAX_DETECTIONS must be within 1..1000, not 0"),
    ({"max_detections": 1001}, "MAX_DETECTIONS must be within 1..1000, not 1001"),
    ({"classes": []}, "CLASSES must have 1 to 5 entries, as many as the model has classes, not 0"),
    ({"classes": ["can"] * 6}, "CLASSES must have 1 to 5 entries, as many as the model has classes, not 6"),
    ({"classes": ["can", "carton"]}, "CLASSES has 'carton', which is no class of this model; did you mean 'Carton'?"),
    ({"classes": ["milk_botle"]}, "'milk_botle', which is no class of this model; did you mean 'milk bottle'"),
    ({"classes": ["5"]}, "CLASSES has '5', which is no class of this model; its classes are numbered from 0 to 4"),
    ({"classes": ["zebra"]}, "there are 'can', 'Carton', 'milk bottle', '3', 'can'"),
    ({"classes": ["\x1b[31m" + "x" * 10**6]}, "..."),
]  # fmt: skip


def found(seed: int, suppression: Suppression) -> list[tuple[float, ...]]:
    result = detect(*overlapping_boxes(seed), np.float32([1.1, 1.3]), suppression)
    return [
        (*box, score, label)
        for box, score, label in zip(result.boxes.tolist(), result.scores.tolist(), result.labels.tolist(), strict=True)
    ]


def test_a_class_is_meant_by_its_name_or_by_its_number_where_none_is_called_so() -> None:
    assert NAMES.chosen(["Carton"]).tolist() == [False, True, False, False, False]
    assert NAMES.chosen(["can", "2"]).tolist() == [True, False, True, False, True]
    assert NAMES.chosen(["3"]).tolist() == [False, False, False, True, False]
    assert ClassNames(["1", "0"]).chosen(["0"]).tolist() == [False, True]


@pytest.mark.parametrize(("wanted", "words"), REFUSED)
def test_what_makes_no_sense_is_told_in_one_short_line(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        OWN.changed(NAMES, **wanted)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_long_class_is_not_compared_with_each_name_as_a_whole() -> None:
    names, started = ClassNames([f"class {number}" for number in range(1000)]), time.process_time()
    with pytest.raises(OptionError, match="is no class of this model"):
        names.chosen(["K" * 10_000_000])
    assert time.process_time() - started < 1


def test_a_request_may_want_as_many_boxes_as_the_model_was_built_to_give() -> None:
    assert Suppression(0.6, 3000).changed(NAMES, max_detections=3000).max_per_img == 3000
    assert OWN.changed(NAMES, max_detections=1000).max_per_img == 1000


def test_who_wants_nothing_gets_the_models_own() -> None:
    assert OWN.changed(NAMES) is OWN


@pytest.mark.parametrize("seed", range(4))
def test_some_classes_are_those_of_all_to_the_last_bit(seed: int) -> None:
    everything = found(seed, Suppression(0.6, 1000))
    for wanted in (["0"], ["Carton", "milk bottle"], ["3", "can"]):
        chosen = OWN.changed(NAMES, classes=wanted, max_detections=1000)
        assert chosen.is_wanted is not None
        expected = [row for row in everything if chosen.is_wanted[int(row[-1])]]
        assert 20 < len(expected) < len(everything)
        assert found(seed, chosen) == expected


def test_other_classes_take_no_places() -> None:
    rare = OWN.changed(NAMES, classes=["milk bottle"], max_detections=7)
    among_all = [row for row in found(0, Suppression(0.6, 7)) if row[-1] == 2]
    alone = found(0, rare)
    assert len(among_all) < 7
    assert len(alone) == 7
    best = sorted((row for row in found(0, Suppression(0.6, 1000)) if row[-1] == 2), key=lambda row: -row[4])[:7]
    assert alone == best


def test_each_option_does_as_a_model_that_was_built_so() -> None:
    assert found(1, OWN.changed(NAMES, nms_iou=0.3, max_detections=40, score_threshold=0.4)) == found(
        1, Suppression(0.3, 40, 0.4)
    )
    assert len(found(1, OWN.changed(NAMES, nms_iou=1.0, max_detections=1000))) == 400
