"""Whether two detectors find the same: counted and measured, box by box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vfnet_bench.report import table
from vfnet_client.detections import Detections

MIN_IOU = 0.99
MAX_CORNER_DIFFERENCE = 0.01
"""Pixels. As good as `MIN_IOU`: a box without area, at an image's edge, has no IoU."""
MAX_SCORE_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class FoundBox:
    """One detection."""

    label: str
    score: float
    corners: tuple[float, float, float, float]
    """x1 y1 x2 y2 in pixels of the stored image."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> FoundBox:
        """From a worker's [class name, score, x1, y1, x2, y2]."""
        label, score, *corners = row
        x1, y1, x2, y2 = map(float, corners)
        return cls(str(label), float(score), (x1, y1, x2, y2))


def boxes_in_pixels(detections: Detections, width: int, height: int) -> list[FoundBox]:
    """The documented detections of an image of this size."""
    return [FoundBox(box.label, box.score, box.in_pixels(width, height)) for box in detections.boxes]


@dataclass(frozen=True)
class Agreement:
    """How far `name` finds what is served, in all images together."""

    name: str
    images: int
    served: int
    """Boxes."""
    found: int
    equal: int
    """Same class, an IoU of at least `MIN_IOU` (or corners within `MAX_CORNER_DIFFERENCE`), scores within
    `MAX_SCORE_DIFFERENCE`; one to one."""
    max_score_difference: float
    """Of equal boxes, as the next."""
    max_corner_difference: float
    """Pixels."""

    @property
    def is_complete(self) -> bool:
        """Whether every box has its equal."""
        return self.served == self.found == self.equal

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"complete": self.is_complete}


def compare_detections(
    name: str, served: Sequence[Sequence[FoundBox]], found: Sequence[Sequence[FoundBox]]
) -> Agreement:
    """Compare image by image; both hold as many."""
    pairs = [pair for ours, theirs in zip(served, found, strict=True) for pair in match_boxes(ours, theirs)]
    return Agreement(
        name,
        len(served),
        sum(map(len, served)),
        sum(map(len, found)),
        len(pairs),
        max((abs(ours.score - theirs.score) for ours, theirs in pairs), default=0.0),
        max(
            (abs(a - b) for ours, theirs in pairs for a, b in zip(ours.corners, theirs.corners, strict=True)),
            default=0.0,
        ),
    )


def match_boxes(ours: Sequence[FoundBox], theirs: Sequence[FoundBox]) -> list[tuple[FoundBox, FoundBox]]:
    """Pairs of equal boxes, each box in one at most; the best overlap first for the best score."""
    free, pairs = list(theirs), []
    for box in sorted(ours, key=lambda each: -each.score):
        equal = [other for other in free if _are_equal(box, other)]
        if equal:
            best = max(equal, key=lambda other: _iou(box.corners, other.corners))
            free.remove(best)
            pairs.append((box, best))
    return pairs


def agreement_table(agreements: Sequence[Agreement]) -> str:
    """Markdown."""
    head = ("detections", "images", "boxes", "served", "equal", "max score difference", "max corner difference")
    rows = [
        (
            each.name,
            *map(str, (each.images, each.found, each.served, each.equal)),
            f"{each.max_score_difference:.1e}",
            f"{each.max_corner_difference:.1e} px",
        )
        for each in agreements
    ]
    return table(head, rows)


def _are_equal(one: FoundBox, other: FoundBox) -> bool:
    if one.label != other.label or abs(one.score - other.score) > MAX_SCORE_DIFFERENCE:
        return False
    apart = max(abs(a - b) for a, b in zip(one.corners, other.corners, strict=True))
    return apart <= MAX_CORNER_DIFFERENCE or _iou(one.corners, other.corners) >= MIN_IOU


def _iou(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    shared = width * height
    union = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)) - shared
    return shared / union if union > 0 else 0.0
