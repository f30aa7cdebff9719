"""Which points learn which box: adaptive training sample selection (ATSS, arXiv:1912.02424), as MMDetection 2.28.2.

At each point of each level stands one square anchor of eight strides, used to choose and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vfnet_train.iou import paired_iou

ANCHOR_SCALE = 8
"""Side of an anchor in strides: `octave_base_scale` of VFNet's `anchor_generator`."""
TOPK = 9
"""Candidates per level and box: `train_cfg.assigner.topk`."""
_MIN_DISTANCE_INSIDE = 0.01
"""Pixels by which a positive anchor's centre must lie inside its box."""


@dataclass(frozen=True)
class Assignment:
    """What every point of one image learns; P points, all levels, finest first, x fastest."""

    labels: Tensor
    """int64 [P]; `num_classes` for background."""
    boxes: Tensor
    """float32 [P, 4] x1 y1 x2 y2 in resized pixels; zero for background."""


def level_points(sizes: list[tuple[int, int]], strides: tuple[int, ...], offset: float, device: torch.device) -> Tensor:
    """Every level's points, float32 [P, 2] x, y in resized pixels; `offset` in strides, `sizes` as height, width."""
    levels = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y, x = torch.meshgrid(
            (torch.arange(height, device=device, dtype=torch.float32) + offset) * stride,
            (torch.arange(width, device=device, dtype=torch.float32) + offset) * stride,
            indexing="ij",
        )
        levels.append(torch.stack((x.flatten(), y.flatten()), dim=1))
    return torch.cat(levels)


def valid_points(
    sizes: list[tuple[int, int]], strides: tuple[int, ...], pad_shape: tuple[int, int], device: torch.device
) -> Tensor:
    """bool [P]: whether a point belongs to the image itself and not to what the batch padded it by.

    Args:
        pad_shape: height and width of the image padded on its own, in pixels.
    """
    levels = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        inside = torch.zeros(height, width, dtype=torch.bool, device=device)
        inside[: -(-pad_shape[0] // stride), : -(-pad_shape[1] // stride)] = True
        levels.append(inside.flatten())
    return torch.cat(levels)


@torch.no_grad()
def assign(
    points: Tensor,
    valid: Tensor,
    sizes: list[tuple[int, int]],
    strides: tuple[int, ...],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    num_classes: int,
) -> Assignment:
    """Give each box its positive points.

    Args:
        points: float32 [P, 2], from `level_points`.
        valid: bool [P], from `valid_points`.
        sizes: each level's height and width.
        gt_boxes: float32 [n, 4] x1 y1 x2 y2 in resized pixels.
        gt_labels: int64 [n].
    """
    labels = torch.full((len(points),), num_classes, dtype=torch.int64, device=points.device)
    boxes = torch.zeros(len(points), 4, device=points.device)
    if not len(gt_boxes):
        return Assignment(labels, boxes)

    candidates = _nearest_points(points, valid, sizes, gt_boxes)  # [k, n]
    stride_of = torch.cat([points.new_full((h * w,), s) for (h, w), s in zip(sizes, strides, strict=True)])
    half = stride_of[candidates] * (ANCHOR_SCALE / 2)
    centre = points[candidates]  # [k, n, 2]
    anchors = torch.cat((centre - half[..., None], centre + half[..., None]), dim=-1)
    overlaps = paired_iou(anchors, gt_boxes.expand_as(anchors))  # [k, n]

    # The bar each box sets for its candidates is the mean plus the standard deviation of their overlaps.
    bar = overlaps.mean(0) + overlaps.std(0)
    sides = torch.cat((centre - gt_boxes[:, :2], gt_boxes[:, 2:] - centre), dim=-1)
    positive = (overlaps >= bar) & (sides.amin(-1) > _MIN_DISTANCE_INSIDE)

    # A point that several boxes want learns the one that its anchor overlaps most; the first of equals.
    wanted = torch.full((len(points), len(gt_boxes)), -1.0, device=points.device)
    point, box = candidates[positive], torch.arange(len(gt_boxes), device=points.device).expand_as(candidates)[positive]
    wanted[point, box] = overlaps[positive]
    best, owner = wanted.max(dim=1)
    taken = best >= 0
    labels[taken] = gt_labels[owner[taken]]
    boxes[taken] = gt_boxes[owner[taken]]
    return Assignment(labels, boxes)


def _nearest_points(points: Tensor, valid: Tensor, sizes: list[tuple[int, int]], gt_boxes: Tensor) -> Tensor:
    """int64 [k, n]: of each level the `TOPK` valid points nearest to each box's centre."""
    centres = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    chosen, start = [], 0
    for height, width in sizes:
        index = valid[start : start + height * width].nonzero()[:, 0] + start
        distance = (points[index][:, None] - centres[None]).pow(2).sum(-1).sqrt()
        nearest = distance.topk(min(TOPK, len(index)), dim=0, largest=False).indices
        chosen.append(index[nearest])
        start += height * width
    return torch.cat(chosen)
