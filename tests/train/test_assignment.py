"""Which points learn which box."""

from __future__ import annotations

import torch
from torch import Tensor

from vfnet_train.assignment import Assignment, assign, level_points, valid_points

SIZES, STRIDES = [(16, 16), (8, 8), (4, 4)], (8, 16, 32)
DEVICE = torch.device("cpu")
BACKGROUND = 3


def assigned(boxes: Tensor, labels: Tensor, pad_shape: tuple[int, int] = (128, 128)) -> tuple[Tensor, Assignment]:
    points = level_points(SIZES, STRIDES, 0.0, DEVICE)
    valid = valid_points(SIZES, STRIDES, pad_shape, DEVICE)
    return points, assign(points, valid, SIZES, STRIDES, boxes, labels, BACKGROUND)


def test_points_stand_at_the_corners_of_their_cells_row_by_row() -> None:
    points = level_points([(2, 3)], (8,), 0.0, DEVICE)
    assert points.tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]


def test_an_image_without_boxes_is_background() -> None:
    _, assignment = assigned(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert (assignment.labels == BACKGROUND).all()
    assert (assignment.boxes == 0).all()


def test_positive_points_lie_inside_their_box_and_learn_its_label() -> None:
    box = torch.tensor([[20.0, 20.0, 84.0, 84.0]])
    points, assignment = assigned(box, torch.tensor([2]))
    positive = points[assignment.labels != BACKGROUND]
    assert len(positive) > 0
    assert ((positive > 20) & (positive < 84)).all()
    assert (assignment.labels[assignment.labels != BACKGROUND] == 2).all()
    assert (assignment.boxes[assignment.labels != BACKGROUND] == box).all()


def test_a_box_is_learnt_by_the_level_whose_anchors_have_its_size() -> None:
    # Anchors of stride 8 are 64 pixels wide.
    _, assignment = assigned(torch.tensor([[32.0, 32.0, 96.0, 96.0]]), torch.tensor([0]))
    assert (assignment.labels[256:] == BACKGROUND).all()
    assert (assignment.labels[:256] == 0).any()


def test_a_point_that_two_boxes_want_goes_to_the_one_its_anchor_overlaps_more() -> None:
    boxes = torch.tensor([[24.0, 24.0, 104.0, 104.0], [33.0, 33.0, 96.0, 96.0]])
    points, assignment = assigned(boxes, torch.tensor([0, 1]))
    centre = int((points[:256] == 64).all(dim=1).nonzero()[0, 0])
    assert assignment.labels[centre] == 1


def test_points_of_the_batchs_padding_learn_nothing() -> None:
    _, assignment = assigned(torch.tensor([[0.0, 0.0, 60.0, 60.0]]), torch.tensor([0]), pad_shape=(64, 64))
    grid = assignment.labels[:256].view(16, 16)
    assert (grid[8:] == BACKGROUND).all()
    assert (grid[:, 8:] == BACKGROUND).all()
    assert (grid != BACKGROUND).any()
