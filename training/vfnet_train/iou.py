"""Overlaps of boxes taken in pairs; the epsilons are MMDetection 2.28.2's (`bbox_overlaps`)."""

from __future__ import annotations

import torch
from torch import Tensor

IOU_EPSILON = 1e-6
GIOU_EPSILON = 1e-7


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each box and its partner.

    Args:
        boxes, others: [..., 4] x1 y1 x2 y2.

    Returns:
        [...], 0 to 1.
    """
    overlap, union = _overlap_and_union(boxes, others, IOU_EPSILON)
    return overlap / union


def paired_giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised intersection over union (arXiv:1902.09630), -1 to 1; arguments as for `paired_iou`."""
    overlap, union = _overlap_and_union(boxes, others, GIOU_EPSILON)
    enclosing = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(boxes[..., :2], others[..., :2])
    hull = enclosing.clamp(min=0).prod(-1).clamp(min=GIOU_EPSILON)
    return overlap / union - (hull - union) / hull


def _overlap_and_union(boxes: Tensor, others: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    overlap = (torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(boxes[..., :2], others[..., :2])).clamp(
        min=0
    )
    area = overlap.prod(-1)
    union = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (others[..., 2:] - others[..., :2]).prod(-1) - area
    return area, union.clamp(min=epsilon)
