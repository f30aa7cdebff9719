"""Which boxes count, how certain an answer is, and what is chosen by it."""

from __future__ import annotations

import pytest

from captured_images import DOUBTFUL, SURE, Box, detections
from vfnet_capture.captured_image import found_in
from vfnet_capture.certainty import certainty, counting
from vfnet_capture.selection import Selection
from vfnet_capture.settings import CaptureSettings

HERE = (0.1, 0.1, 0.4, 0.5)
ANOTHER_CLASS_THERE: Box = ("bottle", 0.5, (0.11, 0.1, 0.4, 0.5))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (SURE, 0.8),
        (DOUBTFUL, 0.35),
        ([*SURE, ANOTHER_CLASS_THERE], 0.8),  # one object with two classes is the better one
        ([("can", 0.2, HERE), ("can", 0.1, HERE)], 0.2),
        ([], 0.0),
        ([("can", 0.3, HERE), ("can", 0.3, (0.5, 0.5, 0.5, 0.5))], 0.3),  # an empty box
    ],
)
def test_an_answer_is_as_certain_as_its_most_doubtful_object(boxes: list[Box], expected: float) -> None:
    assert certainty(found_in(detections(boxes))) == expected


def test_the_best_box_of_a_place_counts() -> None:
    found = found_in(detections([ANOTHER_CLASS_THERE, *SURE]))
    assert [box.label for box in counting(found)] == ["can", "carton"]


@pytest.mark.parametrize(
    ("rules", "boxes", "expected"),
    [
        ({"share": 100.0}, SURE, ("share",)),
        ({"share": 0.0}, SURE, ()),
        ({"share": 0.0, "below": 0.4}, SURE, ()),
        ({"share": 0.0, "below": 0.4}, DOUBTFUL, ("below",)),
        ({"share": 0.0, "below": 0.4}, (), ("below",)),
        ({"share": 0.0, "classes": ("carton",)}, SURE, ("classes",)),
        ({"share": 0.0, "classes": ("bottle",)}, [*SURE, ANOTHER_CLASS_THERE], ()),
        ({"share": 100.0, "below": 0.4, "classes": ("can",)}, DOUBTFUL, ("share", "below", "classes")),
    ],
)
def test_rules(rules: dict[str, object], boxes: list[Box], expected: tuple[str, ...]) -> None:
    selection = Selection(CaptureSettings(store="x", **rules))  # type: ignore[arg-type]
    assert selection.reasons(detections(boxes)) == expected


def test_a_share_is_kept() -> None:
    selection = Selection(CaptureSettings(store="x", share=20.0))
    images = 5000
    chosen = sum(bool(selection.reasons(b"{}")) for _ in range(images))
    assert chosen / images == pytest.approx(0.2, abs=4.9 * (0.2 * 0.8 / images) ** 0.5)


def test_what_is_no_answer_is_not_kept() -> None:
    assert Selection(CaptureSettings(store="x", below=1.0)).reasons(b"no JSON") == ()


def test_rules_without_a_store_are_refused() -> None:
    with pytest.raises(ValueError, match="--capture says where"):
        CaptureSettings(below=0.4)
