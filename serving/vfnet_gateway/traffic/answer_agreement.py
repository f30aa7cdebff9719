"""How far two answers to the same image agree: their boxes matched one to one at IoU 0.5.

A network answers one object with boxes of several classes, most of them of low scores. Among those the right class of
any other network would be found, so only the best box of a place counts, in both answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from vfnet_client.box_matching import NOTHING, box_iou, matched_one_to_one

IOU_THRESHOLD = 0.5
"""PASCAL VOC's, and that of our confusion matrix."""
SCORE_THRESHOLD = 0.3
"""Of the boxes that have to be found again, as in `vfnet_evaluate.agreement`; found ones may score anything, so that a
score that moves across a threshold is no disagreement."""
_CORNERS = ("topX", "topY", "bottomX", "bottomY")


@dataclass(frozen=True)
class Agreement:
    """Boxes of both answers together that score above 0.3."""

    both: int
    """The other answer has them too, with the same class."""
    another_class: int
    """The other answer has a box there, of another class."""
    one: int
    """The other answer has nothing there."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.both + self.another_class + self.one


@dataclass(frozen=True, eq=False)
class _Boxes:
    corners: npt.NDArray[np.float64]
    """[n, 4], fractions of the image, best scores first."""
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.str_]


def agreement_of(first: bytes, second: bytes) -> Agreement:
    """Compare two `DETECTIONS` of the same image.

    Raises:
        ValueError: one is not the documented JSON.
    """
    one, other = _boxes(first), _boxes(second)
    overlaps = box_iou(one.corners, other.corners)
    counts = np.zeros(3, np.int64)
    counts += _found(one, other, overlaps)
    counts += _found(other, one, overlaps.T)
    return Agreement(*(int(each) for each in counts))


def _found(these: _Boxes, others: _Boxes, overlaps: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    above = these.scores > SCORE_THRESHOLD
    near, same = overlaps[above] >= IOU_THRESHOLD, these.labels[above][:, None] == others.labels[None, :]
    again = matched_one_to_one(near & same, overlaps[above]) != NOTHING
    elsewhere = (near & ~same)[~again].any(axis=1)
    return int(again.sum()), int(elsewhere.sum()), int((~elsewhere).sum())


def _boxes(detections: bytes) -> _Boxes:
    try:
        found: list[Any] = sorted(orjson.loads(detections)["boxes"], key=lambda each: -each["score"])
        corners = np.array([[each["box"][corner] for corner in _CORNERS] for each in found], np.float64)
        scores = np.array([each["score"] for each in found], np.float64)
        labels = np.array([each["label"] for each in found], np.str_)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a detections document: {error!r}"[:200]) from error
    best = _best_of_their_places(corners.reshape(-1, 4))
    return _Boxes(corners.reshape(-1, 4)[best], scores[best], labels[best])


def _best_of_their_places(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """[n], whether no better box that counts overlaps it; the best come first."""
    near = box_iou(corners, corners) > IOU_THRESHOLD
    best = np.ones(len(corners), np.bool_)
    for index in range(len(corners)):
        if best[index]:
            best[index + 1 :] &= ~near[index, index + 1 :]
    return best
