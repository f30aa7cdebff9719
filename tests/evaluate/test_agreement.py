"""How many of one network's boxes another finds again."""

from __future__ import annotations

import numpy as np
import pytest

from vfnet_evaluate.agreement import agreement
from vfnet_model.detectors.image_detections import ImageDetections


def detections(*rows: tuple[float, float, float, float, float, int]) -> ImageDetections:
    """x1 y1 x2 y2 score label each."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return ImageDetections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


ONE = detections((0, 0, 100, 100, 0.9, 0), (200, 0, 300, 100, 0.6, 1), (0, 200, 50, 250, 0.2, 0))


def test_a_set_agrees_with_itself() -> None:
    assert agreement([ONE, ONE], [ONE, ONE]).share == 1


def test_what_scores_low_is_not_asked_for() -> None:
    found = detections((0, 0, 100, 100, 0.1, 0), (200, 0, 300, 100, 0.9, 1))
    assert agreement([ONE], [found]).share == 1


@pytest.mark.parametrize(
    "other",
    [(0, 0, 100, 88, 0.9, 0), (0, 0, 100, 100, 0.9, 1)],
    ids=["moved", "of another class"],
)
def test_a_box_is_not_found_again(other: tuple[float, float, float, float, float, int]) -> None:
    assert agreement([ONE], [detections(other, (200, 0, 300, 100, 0.6, 1))]).share == pytest.approx(0.5)


def test_one_box_answers_for_one_only() -> None:
    twice = detections((0, 0, 100, 100, 0.9, 0), (0, 0, 100, 99, 0.8, 0))
    assert agreement([twice], [detections((0, 0, 100, 100, 0.9, 0))]).share == pytest.approx(0.5)


def test_a_lower_score_asks_for_more_boxes() -> None:
    found = agreement([ONE], [detections((0, 0, 100, 100, 0.1, 0))], score_threshold=0.1)
    assert (found.found, found.total) == (1, 3)


def test_nothing_is_lost_where_nothing_was() -> None:
    assert agreement([ImageDetections.none()], [ONE]).share == 1
