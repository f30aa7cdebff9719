"""Equal detections: excused are decisions that a hair's breadth turns, what follows of them, and no more."""

from __future__ import annotations

import numpy as np

from box_matching import DetectionSet, compare


def detections(*boxes: tuple[float, float], label: int = 0) -> DetectionSet:
    """Squares of 100 pixels, each given by how far right it begins and its score; 20 pixels apart overlap by 0.667."""
    corners = [[x, 0.0, x + 100, 100] for x, _ in boxes]
    return DetectionSet(np.array(corners), np.array([score for _, score in boxes]), np.full(len(boxes), label))


def test_equal_detections_match_in_any_order() -> None:
    comparison = compare(detections((0, 0.9), (300, 0.5)), detections((300, 0.5), (0, 0.9)))
    assert (comparison.matched, comparison.flipped, comparison.wrong) == (2, [], [])


def test_either_of_two_that_tie_may_be_kept_and_what_it_releases_too() -> None:
    first = detections((0, 0.3112), (40, 0.18), (300, 0.9))  # 0 keeps; 20 is suppressed, 40 is not
    other = detections((20, 0.3113), (-20, 0.17), (300, 0.9))  # 20 keeps; 0 and 40 are suppressed, -20 no more
    for expected, found in ((first, other), (other, first)):
        comparison = compare(expected, found)
        assert (comparison.matched, len(comparison.flipped), comparison.wrong) == (1, 4, [])


def test_without_a_tie_nothing_is_excused() -> None:
    comparison = compare(detections((0, 0.32), (40, 0.18)), detections((20, 0.31), (-20, 0.17)))
    assert (len(comparison.flipped), len(comparison.wrong)) == (0, 4)


def test_a_tie_of_another_class_or_elsewhere_excuses_nothing() -> None:
    expected = detections((0, 0.3))
    for found in (detections((20, 0.3), label=1), detections((60, 0.3))):
        assert len(compare(expected, found).wrong) == 2


def test_what_no_excused_box_suppresses_is_wrong() -> None:
    comparison = compare(detections((0, 0.3), (300, 0.2)), detections((20, 0.3)))
    assert [text.split(" at ")[0] for text in comparison.wrong] == ["missing class 0 score 0.200000"]
