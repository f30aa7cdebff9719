"""How alike two sets of detections of the same images are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfnet_client.box_matching import NOTHING, box_iou, matched_one_to_one
from vfnet_model.detectors.image_detections import ImageDetections


@dataclass(frozen=True)
class Matched:
    """How many boxes one set has, and how many of them another has too."""

    found: int
    total: int

    @property
    def share(self) -> float:
        """1 where there are none."""
        return self.found / self.total if self.total else 1.0


def agreement(
    expected: Sequence[ImageDetections],
    found: Sequence[ImageDetections],
    score_threshold: float = 0.3,
    iou_threshold: float = 0.9,
) -> Matched:
    """The expected detections above a score, and how many of them were found again, one to one.

    Args:
        expected, found: of the same images, in the same order.
        score_threshold: of the expected ones. A found one may score anything.
        iou_threshold: that a found one of the same class has to reach.
    """
    matched = total = 0
    for each, other in zip(expected, found, strict=True):
        total += int(np.count_nonzero(each.scores > score_threshold))
        matched += len(matched_pairs(each, other, score_threshold, iou_threshold))
    return Matched(matched, total)


def matched_pairs(
    expected: ImageDetections, found: ImageDetections, score_threshold: float, iou_threshold: float
) -> list[tuple[int, int]]:
    """Indices of expected detections of one image, and of those that they were found again as. See `agreement`."""
    above = np.flatnonzero(expected.scores > score_threshold)
    overlaps = box_iou(expected.boxes[above], found.boxes)
    same = expected.labels[above][:, None] == found.labels[None, :]
    others = matched_one_to_one(same & (overlaps >= iou_threshold), overlaps)
    return [(int(index), int(other)) for index, other in zip(above, others, strict=True) if other != NOTHING]
