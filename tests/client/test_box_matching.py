"""How far boxes overlap, and which is which."""

from __future__ import annotations

import numpy as np
import pytest

from vfnet_client.box_matching import NOTHING, box_iou, matched_one_to_one


def test_overlaps() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]])
    assert box_iou(boxes, boxes) == pytest.approx(np.array([[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 0]]))
    assert box_iou(boxes, boxes[:0]).shape == (3, 0)
    scale = np.array([0.1, 7, 0.1, 7])
    assert box_iou(boxes * scale, boxes * scale) == pytest.approx(box_iou(boxes, boxes))


def test_earlier_ones_choose_first_the_best_that_is_left() -> None:
    overlaps = np.array([[0.9, 0.8], [0.95, 0.7], [0.6, 0.6]])
    assert matched_one_to_one(overlaps >= 0.5, overlaps).tolist() == [0, 1, NOTHING]
    assert matched_one_to_one(overlaps >= 0.75, overlaps).tolist() == [0, NOTHING, NOTHING]
    assert matched_one_to_one(np.zeros((2, 0), np.bool_), np.zeros((2, 0))).tolist() == [NOTHING] * 2
