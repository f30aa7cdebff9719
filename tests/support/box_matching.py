"""Whether two sets of detections are the same, but for decisions that a hair's breadth would turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

TOLERANCE = 1e-3
"""In score and in IoU."""


@dataclass(frozen=True)
class DetectionSet:
    """One image's boxes float [n, 4] x1 y1 x2 y2 in pixels, scores float [n], labels int [n]."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass
class Comparison:
    """The outcome of `compare`."""

    expected: int = 0
    matched: int = 0
    flipped: list[str] = field(default_factory=list)
    """Unmatched boxes that a change of `TOLERANCE` in a score or an IoU would have matched, directly or by others."""
    wrong: list[str] = field(default_factory=list)
    """Unmatched boxes that nothing excuses."""
    max_score_difference: float = 0.0
    max_corner_difference: float = 0.0


def compare(
    expected: DetectionSet,
    found: DetectionSet,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.6,
    max_per_img: int = 100,
    min_iou: float = 0.99,
) -> Comparison:
    """Match one to one: same class, IoU of at least `min_iou`, scores within `TOLERANCE`."""
    result = Comparison(expected=len(expected.scores))
    iou = box_iou(expected.boxes, found.boxes)
    same = expected.labels[:, None] == found.labels[None, :]
    close = np.abs(expected.scores[:, None] - found.scores[None, :]) <= TOLERANCE
    allowed = same & close & (iou >= min_iou)
    rows, columns = linear_sum_assignment(np.where(allowed, iou, 0), maximize=True)
    pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]
    result.matched = len(pairs)
    for row, column in pairs:
        corners = np.abs(expected.boxes[row] - found.boxes[column]).max()
        result.max_corner_difference = max(result.max_corner_difference, float(corners))
        difference = abs(float(expected.scores[row] - found.scores[column]))
        result.max_score_difference = max(result.max_score_difference, difference)
    sets = (expected, found)
    unmatched = (
        set(range(len(expected.scores))) - {row for row, _ in pairs},
        set(range(len(found.scores))) - {column for _, column in pairs},
    )
    excused: tuple[set[int], set[int]] = (set(), set())
    best_first = sorted(
        ((side, index) for side in (0, 1) for index in unmatched[side]),
        key=lambda each: -sets[each[0]].scores[each[1]],
    )
    for side, index in best_first:
        these, others = sets[side], sets[1 - side]
        text = f"{('missing', 'extra')[side]} class {these.labels[index]} score {these.scores[index]:.6f}"
        text += f" at {these.boxes[index]}"
        reason = _borderline(these, index, others, score_threshold, iou_threshold, max_per_img) or _displaced(
            these, index, others, iou_threshold, unmatched[1 - side], excused[1 - side]
        )
        if reason:
            excused[side].add(index)
            result.flipped.append(f"{text}: {reason}")
        else:
            result.wrong.append(text)
    return result


def _displaced(
    these: DetectionSet,
    index: int,
    others: DetectionSet,
    iou_threshold: float,
    unmatched: set[int],
    excused: set[int],
) -> str:
    """Why non-maximum suppression may have kept another box in this one's place; empty if nothing says so.

    Of two overlapping candidates of equal score either suppresses the other; which is kept decides about worse ones.
    So the other box either ties with this one, or is better and `excused` itself.
    """
    for rival in unmatched:
        if others.labels[rival] != these.labels[index]:
            continue
        overlap = box_iou(these.boxes[index : index + 1], others.boxes[rival : rival + 1])[0, 0]
        if overlap <= iou_threshold - TOLERANCE:
            continue
        if abs(float(others.scores[rival] - these.scores[index])) <= TOLERANCE:
            return f"it ties with a box that it overlaps by {overlap:.3f}"
        if rival in excused and others.scores[rival] > these.scores[index]:
            return f"a better box that is excused itself overlaps it by {overlap:.3f}"
    return ""


def _borderline(
    these: DetectionSet,
    index: int,
    others: DetectionSet,
    score_threshold: float,
    iou_threshold: float,
    max_per_img: int,
) -> str:
    """Why a box may be in one set only; empty if nothing says so."""
    score = float(these.scores[index])
    if abs(score - score_threshold) <= TOLERANCE:
        return f"its score is within {TOLERANCE} of the threshold"
    if len(others.scores) >= max_per_img and score - float(others.scores.min()) <= TOLERANCE:
        return f"its score is within {TOLERANCE} of the last of {max_per_img}"
    rivals = (others.labels == these.labels[index]) & (others.scores >= score - TOLERANCE)
    if rivals.any():
        overlap = box_iou(these.boxes[index : index + 1], others.boxes[rivals])
        if (np.abs(overlap - iou_threshold) <= TOLERANCE).any():
            return f"its IoU with a better box is within {TOLERANCE} of the threshold"
    return ""


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Boxes [n, 4] and [m, 4], x1 y1 x2 y2 -> IoU [n, m]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
