"""What a request wants of its detections, as its caller gives it: checked, told, and read from `params`."""

from __future__ import annotations

import argparse
import tracemalloc
from typing import Any

import numpy as np
import pytest

from vfnet_client.commands.options import add_detection_options, detection_options
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import RequestError
from vfnet_client.score_parameters import NO_PARAMETERS, PARAMETERS_HEADER, read_parameters, written_parameters

EVERY = DetectionOptions.chosen(score_threshold=0.5, classes=["can", 3, "can", "7"], max_detections=7, nms_iou=1)
ABSURD = [
    ({"score_threshold": 1.1}, "score_threshold must be a number from 0 to 1"),
    ({"nms_iou": float("nan")}, "nms_iou must be a number from 0 to 1"),
    ({"nms_iou": 10**400}, "nms_iou must be a number from 0 to 1"),
    ({"nms_iou": True}, "nms_iou must be a number from 0 to 1"),
    ({"max_detections": 0}, "max_detections must be a whole number from 1 on"),
    ({"max_detections": 10.5}, "max_detections must be a whole number from 1 on"),
    ({"max_detections": float("inf")}, "max_detections must be a whole number from 1 on"),
    ({"max_detections": float("nan")}, "max_detections must be a whole number from 1 on"),
    ({"max_detections": "10"}, "max_detections must be a whole number from 1 on"),
    ({"max_detections": 2**31}, "max_detections must be a whole number from 1 on"),
    ({"classes": "can"}, "classes must be a list of class names or numbers"),
    ({"classes": []}, "classes must name at least one class; leave it out for all"),
    ({"classes": {"can": True}}, "classes must be a list of class names or numbers"),
    ({"classes": 3}, "classes must be a list of class names or numbers"),
    ({"classes": [""]}, "classes must be names or numbers from 0 on, and '' is neither"),
    ({"classes": [-1]}, "classes must be names or numbers from 0 on, and -1 is neither"),
    ({"classes": [None]}, "classes must be names or numbers from 0 on, and None is neither"),
    ({"classes": [["can"]]}, "classes must be names or numbers from 0 on, and a list is neither"),
    ({"classes": ["\ud800"]}, "classes must be names or numbers from 0 on, and '\\ud800' is neither"),
    ({"classes": ["x" * 501]}, "is neither"),
    ({"classes": ["x"] * 5001}, "classes has 5001 entries; no model has more than 5000 classes"),
]


def test_what_is_given_is_what_goes_to_the_model() -> None:
    assert EVERY.classes == ("can", "3", "7")
    assert [tuple(tensor) for tensor in EVERY.tensors()] == [
        ("SCORE_THRESHOLD", "FP32", [0.5]),
        ("CLASSES", "BYTES", ["can", "3", "7"]),
        ("MAX_DETECTIONS", "INT32", [7]),
        ("NMS_IOU", "FP32", [1.0]),
    ]
    assert str(EVERY) == "score-threshold 0.5, classes can, 3, 7, max-detections 7, nms-iou 1"
    assert DetectionOptions.chosen() is NO_OPTIONS
    assert not NO_OPTIONS
    assert NO_OPTIONS.tensors() == []


@pytest.mark.parametrize(("given", "words"), ABSURD)
def test_what_makes_no_sense_is_told_apart_by_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^(score_threshold|nms_iou|max_detections|classes) ") as caught:
        DetectionOptions.chosen(**given)
    assert words in str(caught.value)
    (name,) = given
    with pytest.raises(RequestError, match=f'^"{name}" ') as refused:
        read_parameters(given)
    assert refused.value.status == 400


@pytest.mark.parametrize("entry", ["\ue000" * 2_000_000, 10**5000, -(10**5000)], ids=["text", "large", "small"])
def test_of_a_class_that_is_none_no_more_is_written_than_is_shown(entry: object) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^classes must be names .*, and .* is neither$") as caught:
            DetectionOptions.chosen(classes=[entry])  # type: ignore[list-item]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 150


def test_numbers_may_be_numpys_and_whole_ones_written_as_json_may() -> None:
    numbers: dict[str, Any] = {
        "score_threshold": np.float32(0.5), "classes": [2.0, np.int64(3)], "max_detections": np.int64(20), "nms_iou": 1
    }  # fmt: skip
    chosen = DetectionOptions.chosen(**numbers)
    assert chosen == DetectionOptions(0.5, ("2", "3"), 20, 1.0)
    assert (type(chosen.score_threshold), type(chosen.max_detections)) == (float, int)
    narrow: Any = np.float32(20)
    assert DetectionOptions.chosen(max_detections=narrow, classes=[narrow]) == DetectionOptions(None, ("20",), 20)
    assert read_parameters({"max_detections": 20.0, "classes": [2.0]}).options == DetectionOptions(None, ("2",), 20)


def test_parameters_are_read_as_they_are_written() -> None:
    parameters = read_parameters(written_parameters(EVERY))
    assert parameters.options == EVERY
    assert parameters.headers() == {PARAMETERS_HEADER: "box_score_threshold, classes, max_detections, nms_iou"}
    assert written_parameters(NO_OPTIONS) == {}


@pytest.mark.parametrize(
    "params",
    [
        None, [], "x", {}, {"Classes": ["can"], "iou_threshold": 7},
        dict.fromkeys(["box_score_threshold", "classes", "max_detections", "nms_iou", "tile_size", "tile_grid_size"]),
    ],
)  # fmt: skip
def test_other_parameters_say_nothing(params: Any) -> None:
    assert read_parameters(params) is NO_PARAMETERS
    assert NO_PARAMETERS.headers() == {}


def test_the_threshold_has_two_names_and_one_value() -> None:
    assert read_parameters({"score_threshold": 0.5}).options == DetectionOptions(score_threshold=0.5)
    assert read_parameters({"score_threshold": 0.5, "box_score_threshold": 0.5}).options.score_threshold == 0.5
    with pytest.raises(RequestError, match="are one option, and differ"):
        read_parameters({"score_threshold": 0.5, "box_score_threshold": 0.6})


def test_a_command_refuses_more_boxes_than_a_model_can_be_asked_for() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_detection_options(parser)
    assert detection_options(parser.parse_args(["--max-detections", "300"])).max_detections == 300
    with pytest.raises(argparse.ArgumentError, match="no model gives as many boxes as 3000000000"):
        parser.parse_args(["--max-detections", "3000000000"])
