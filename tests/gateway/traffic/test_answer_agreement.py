"""What counts as the same box in two answers."""

from __future__ import annotations

import json

import pytest

from vfnet_gateway.traffic.answer_agreement import Agreement, agreement_of


def answer(*boxes: tuple[float, float, float, float, str, float]) -> bytes:
    return json.dumps(
        {
            "boxes": [
                {"box": {"topX": x1, "topY": y1, "bottomX": x2, "bottomY": y2}, "label": label, "score": score}
                for x1, y1, x2, y2, label, score in boxes
            ]
        }
    ).encode()


CAR = (0.0, 0.0, 0.4, 0.4, "car", 0.9)
BUS = (0.5, 0.5, 0.9, 0.9, "bus", 0.8)


@pytest.mark.parametrize(
    ("first", "second", "both", "another_class", "one"),
    [
        ([CAR, BUS], [BUS, CAR], 4, 0, 0),
        ([], [], 0, 0, 0),
        ([CAR], [], 0, 0, 1),
        ([CAR], [(0.1, 0.0, 0.5, 0.4, "car", 0.9)], 2, 0, 0),  # IoU 0.6
        ([CAR], [(0.2, 0.0, 0.6, 0.4, "car", 0.9)], 0, 0, 2),  # 0.33
        ([CAR], [(*CAR[:4], "bus", 0.9)], 0, 2, 0),
        ([CAR], [CAR, CAR], 2, 0, 0),  # of boxes in one place the best counts
        ([CAR], [(*CAR[:4], "bus", 0.9), (*CAR[:4], "car", 0.2)], 0, 2, 0),  # and what else may be there does not
        ([CAR, (*CAR[:4], "bus", 0.4)], [CAR], 2, 0, 0),
        ([CAR], [(0.0, 0.0, 0.2, 0.4, "car", 0.9), (0.2, 0.0, 0.4, 0.4, "car", 0.9)], 2, 0, 1),  # one to one
        ([CAR], [(*CAR[:4], "car", 0.1)], 1, 0, 0),  # what is found again may score anything
        ([(*CAR[:4], "car", 0.2)], [], 0, 0, 0),  # and what scores little need not be
    ],
)
def test_boxes_are_matched(
    first: list[tuple[float, float, float, float, str, float]],
    second: list[tuple[float, float, float, float, str, float]],
    both: int,
    another_class: int,
    one: int,
) -> None:
    assert agreement_of(answer(*first), answer(*second)) == Agreement(both, another_class, one)
    assert agreement_of(answer(*second), answer(*first)) == Agreement(both, another_class, one)


@pytest.mark.parametrize(
    "broken", [b"", b"[]", b'{"boxes": 1}', b'{"boxes": [{"score": 1}]}', b'{"boxes": [{"score": "x"}]}']
)
def test_what_is_no_answer_is_an_error(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        agreement_of(answer(CAR), broken)
