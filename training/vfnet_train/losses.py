"""What VFNet minimises: varifocal loss and GIoU on the first and the refined boxes (arXiv:2008.13367).

Weights and normalisation are those of MMDetection 2.28.2's `VFNetHead.loss`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from vfnet_runtime.architecture.config import HeadConfig
from vfnet_train.assignment import assign, level_points, valid_points
from vfnet_train.iou import paired_giou, paired_iou

LOSS_BBOX_WEIGHT = 1.5
LOSS_BBOX_REFINE_WEIGHT = 2.0
VARIFOCAL_ALPHA = 0.75
VARIFOCAL_GAMMA = 2.0
_SMALLEST_IOU = 1e-6


class VFNetLoss:
    """The three losses of a batch. Under `torch.distributed` they are normalised over all ranks, as mmdet does.

    Raises:
        ValueError: the head is not an ATSS one; the FCOS variant (`use_atss=False`) is not trained here.
    """

    def __init__(self, head: HeadConfig) -> None:
        if not head.use_atss:
            raise ValueError("only heads with use_atss=True can be trained")
        self.head = head

    def __call__(
        self,
        outputs: tuple[list[Tensor], list[Tensor], list[Tensor]],
        gt_boxes: list[Tensor],
        gt_labels: list[Tensor],
        pad_shapes: list[tuple[int, int]],
    ) -> dict[str, Tensor]:
        """Compute the losses; what is minimised is their sum.

        Args:
            outputs: what `VFNet.forward` returns.
            gt_boxes: per image float32 [n, 4] x1 y1 x2 y2 in resized pixels.
            gt_labels: per image int64 [n].
            pad_shapes: per image height and width when padded on its own, before the batch's padding.

        Returns:
            `loss_cls`, `loss_bbox`, `loss_bbox_rf`: float32 scalars.
        """
        cls_scores, bbox_preds, bbox_preds_refine = (_flatten(maps) for maps in outputs)  # [N, P, ...]
        labels, targets, points = self._targets(outputs[0], gt_boxes, gt_labels, pad_shapes)

        positive = labels < self.head.num_classes  # [N, P]
        num_positive = _mean_over_ranks(positive.sum().float()).clamp(min=1)
        points = points.expand(len(labels), -1, -1)[positive]
        targets = targets[positive]

        boxes = _decode(points, bbox_preds[positive])
        boxes_refine = _decode(points, bbox_preds_refine[positive])
        iou = paired_iou(boxes, targets).clamp(min=_SMALLEST_IOU).detach()
        iou_refine = paired_iou(boxes_refine, targets).clamp(min=_SMALLEST_IOU).detach()

        quality = torch.zeros_like(cls_scores)
        quality[positive] = F.one_hot(labels[positive], self.head.num_classes) * iou_refine[:, None]
        return {
            "loss_cls": _divide(varifocal_loss(cls_scores, quality), num_positive),
            "loss_bbox": LOSS_BBOX_WEIGHT * _weighted_giou_loss(boxes, targets, iou),
            "loss_bbox_rf": LOSS_BBOX_REFINE_WEIGHT * _weighted_giou_loss(boxes_refine, targets, iou_refine),
        }

    def _targets(
        self,
        cls_scores: list[Tensor],
        gt_boxes: list[Tensor],
        gt_labels: list[Tensor],
        pad_shapes: list[tuple[int, int]],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Labels int64 [N, P], boxes float32 [N, P, 4], points float32 [P, 2]."""
        sizes = [(scores.shape[2], scores.shape[3]) for scores in cls_scores]
        strides, device = self.head.strides, cls_scores[0].device
        points = level_points(sizes, strides, self.head.point_offset, device)
        assignments = [
            assign(
                points,
                valid_points(sizes, strides, pad_shape, device),
                sizes,
                strides,
                boxes,
                labels,
                self.head.num_classes,
            )
            for boxes, labels, pad_shape in zip(gt_boxes, gt_labels, pad_shapes, strict=True)
        ]
        return torch.stack([a.labels for a in assignments]), torch.stack([a.boxes for a in assignments]), points


def varifocal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Summed varifocal loss (arXiv:2008.13367, equation 2).

    Args:
        logits: [..., num_classes].
        quality: same shape; the IoU of a positive at its class, 0 elsewhere.
    """
    # The gradient flows through the weight of the negatives too, as it does in mmdet.
    weight = torch.where(quality > 0, quality, VARIFOCAL_ALPHA * (logits.sigmoid() - quality).abs() ** VARIFOCAL_GAMMA)
    return (F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * weight).sum()


def _weighted_giou_loss(boxes: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """GIoU loss of positives, each weighted by its IoU, over the sum of weights. Without positives 0, with a graph."""
    loss = ((1 - paired_giou(boxes, targets)) * weight).sum()
    return _divide(loss, _mean_over_ranks(weight.sum()).clamp(min=1))


def _divide(loss: Tensor, factor: Tensor) -> Tensor:
    return loss / (factor + torch.finfo(torch.float32).eps)  # mmdet's `weight_reduce_loss`


def _decode(points: Tensor, distances: Tensor) -> Tensor:
    """Points [n, 2] and distances left, top, right, bottom [n, 4] -> x1 y1 x2 y2."""
    return torch.cat((points - distances[:, :2], points + distances[:, 2:]), dim=1)


def _flatten(maps: list[Tensor]) -> Tensor:
    """Per level [N, C, H, W] -> float32 [N, P, C]."""
    return torch.cat([level.float().flatten(2) for level in maps], dim=2).transpose(1, 2)


def _mean_over_ranks(value: Tensor) -> Tensor:
    """mmdet's `reduce_mean`."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    value = value.clone()
    distributed.all_reduce(value)
    return value / distributed.get_world_size()
