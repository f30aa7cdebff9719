"""How certain an answer is, and which of its boxes count.

A network answers one object with boxes of several classes, and nearly every image with many boxes of low scores. So a
box counts only where it scores 0.3 or more and no better box of the image overlaps it. The certainty of an image is the
score of the least certain box that counts: an image with two sure objects and one doubtful one is doubtful. Where no
box counts, it is the score of the best one; without any box 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from vfnet_capture.captured_image import FoundBox

COUNTS_FROM = 0.3
"""Score, as in the agreement of deployments (`vfnet_gateway.traffic.answer_agreement`) and in `vfnet_evaluate`."""
SAME_PLACE = 0.5
"""Intersection over union beyond which two boxes are taken for the same object: PASCAL VOC's."""


def counting(detections: Sequence[FoundBox]) -> list[FoundBox]:
    """The boxes that count, best first."""
    kept: list[FoundBox] = []
    for box in sorted((each for each in detections if each.score >= COUNTS_FROM), key=lambda each: -each.score):
        if all(overlap(box, better) <= SAME_PLACE for better in kept):
            kept.append(box)
    return kept


def certainty(detections: Sequence[FoundBox]) -> float:
    """Of an answer, 0 to 1."""
    kept = counting(detections)
    return kept[-1].score if kept else max((each.score for each in detections), default=0.0)


def overlap(one: FoundBox, other: FoundBox) -> float:
    """Intersection over union of two boxes; 0 where both are empty."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((one.x2 - one.x1) * (one.y2 - one.y1) + (other.x2 - other.x1) * (other.y2 - other.y1) - both)
