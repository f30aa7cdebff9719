"""Whether two detectors found the same."""

from __future__ import annotations

import pytest

from vfnet_bench.network.agreement import FoundBox, agreement_table, boxes_in_pixels, compare_detections
from vfnet_client.detections import DetectedBox, Detections

CAN = FoundBox("can", 0.9, (10.0, 10.0, 110.0, 210.0))
CARTON = FoundBox("carton", 0.8, (200.0, 50.0, 300.0, 250.0))


def moved(box: FoundBox, by: float, score: float = 0.0, label: str | None = None) -> FoundBox:
    x1, y1, x2, y2 = box.corners
    return FoundBox(label or box.label, box.score + score, (x1 + by, y1, x2 + by, y2))


def test_the_same_boxes_in_another_order_agree() -> None:
    agreement = compare_detections("other", [[CAN, CARTON]], [[moved(CARTON, 0.01), moved(CAN, 0, 5e-4)]])
    assert agreement.is_complete
    assert agreement.max_corner_difference == pytest.approx(0.01)
    assert agreement.max_score_difference == pytest.approx(5e-4)


@pytest.mark.parametrize(
    "found",
    [[], [CAN], [CAN, CARTON, CARTON], [CAN, moved(CARTON, 2.0)], [CAN, moved(CARTON, 0, 0.01)],
     [CAN, moved(CARTON, 0, label="can")]],
)  # fmt: skip
def test_anything_else_does_not(found: list[FoundBox]) -> None:
    assert not compare_detections("other", [[CAN, CARTON]], [found]).is_complete


def test_boxes_without_area_agree_where_their_corners_do() -> None:
    flat = FoundBox("can", 0.5, (10.0, 0.0, 60.0, 0.0))
    assert compare_detections("other", [[flat]], [[moved(flat, 0.001)]]).is_complete
    assert not compare_detections("other", [[flat]], [[moved(flat, 0.5)]]).is_complete


def test_a_box_is_the_equal_of_one_box_only() -> None:
    agreement = compare_detections("other", [[CAN, CAN]], [[CAN, CARTON]])
    assert (agreement.served, agreement.found, agreement.equal) == (2, 2, 1)


def test_images_are_compared_one_with_one() -> None:
    assert not compare_detections("other", [[CAN], [CARTON]], [[CARTON], [CAN]]).is_complete
    assert compare_detections("other", [[CAN], []], [[CAN], []]).images == 2


def test_fractions_become_pixels() -> None:
    documented = Detections([DetectedBox(0.1, 0.2, 0.5, 0.6, "can", 0.7)])
    assert boxes_in_pixels(documented, 100, 50) == [FoundBox("can", 0.7, (10.0, 10.0, 50.0, 30.0))]


def test_the_table_has_a_row_for_each() -> None:
    rows = agreement_table([compare_detections("MMDetection 2.28.2", [[CAN]], [[CAN]])]).splitlines()
    cells = [cell.strip() for cell in rows[-1].strip("|").split("|")]
    assert cells[:5] == ["MMDetection 2.28.2", "1", "1", "1", "1"]
