"""The served detector: uint8 pixels in, scored candidate boxes out. Everything between resize and NMS.

The numbered steps are those of MMDetection 2.28.2 (`Normalize`, `Pad`, `VFNetHead`,
`BaseDenseHead._get_bboxes_single`, `filter_scores_and_topk`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfnet_runtime.architecture.config import TestConfig
from vfnet_runtime.architecture.padding import ValidAreas, side
from vfnet_runtime.architecture.vfnet import VFNet


class DensePredictor(nn.Module):
    """A VFNet that normalises by itself: what an engine compiles when candidates are chosen outside it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: VFNet, areas: ValidAreas | None = None) -> None:
        """`areas`: of a network that `mask_padding` changed, whose canvases may be larger than the images need."""
        super().__init__()
        preprocess = network.config.preprocess
        self.network, self.areas = network, areas
        self.to_rgb = preprocess.to_rgb
        # [1, 3, 1, 1], in the network's own channel order
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor, valid_shape: Tensor) -> tuple[Tensor, ...]:
        """Predict densely.

        Args:
            pixels: uint8 [N, H, W, 3] RGB, resized, padded bottom and right; H and W multiples of 32.
            valid_shape: int32 [N, 2] height and width of the resized image without its padding.

        Returns:
            Per level, finest first, logits [N, num_classes, H_l, W_l]; then per level the refined
            distances [N, 4, H_l, W_l], left, top, right, bottom, in resized pixels.
        """
        if self.areas is not None:
            self.areas.begin(valid_shape, side(pixels, 1), side(pixels, 2))
        cls_scores, _, bbox_preds_refine = self.network(self.normalize(pixels, valid_shape))
        return (*cls_scores, *bbox_preds_refine)

    def normalize(self, pixels: Tensor, valid_shape: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB -> float32 [N, 3, H, W], zero where there is padding."""
        x = pixels.float().permute(0, 3, 1, 2)  # TensorRT takes bytes only where a cast follows
        if not self.to_rgb:
            x = x.flip(1)
        # Dividing in float32 gives the bits of mmcv's float64 multiplication by 1 / std.
        x = (x - self.mean) / self.std
        rows = torch.arange(x.shape[2], device=x.device)[None, :] < valid_shape[:, :1]
        columns = torch.arange(x.shape[3], device=x.device)[None, :] < valid_shape[:, 1:]
        # mmdet pads after normalising: the padding is zero here, not a black pixel.
        return torch.where(rows[:, None, :, None] & columns[:, None, None, :], x, 0.0)


class Detector(nn.Module):
    """The whole of `vfnet_detector` in one graph, for engines that choose candidates on their device."""

    def __init__(self, network: VFNet, areas: ValidAreas | None = None, *, sort: bool = True) -> None:
        """`areas` as for `DensePredictor`; without `sort` the levels' candidates follow each other."""
        super().__init__()
        self.sort = sort
        self.dense = DensePredictor(network, areas)
        self.strides = network.config.head.strides
        self.point_offset = network.config.head.point_offset
        self.test = network.config.test

    def forward(self, pixels: Tensor, valid_shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect candidates. `pixels` and `valid_shape` as for `DensePredictor`.

        Returns:
            `candidate_boxes` float32 [N, K, 4] x1 y1 x2 y2 in resized pixels, clipped to the valid shape;
            `candidate_scores` float32 [N, K]; `candidate_labels` int32 [N, K]. K = levels x `nms_pre`; all
            levels together by falling score (unless told not to sort); what is not a candidate has score 0.
        """
        outputs = self.dense(pixels, valid_shape)
        levels = len(self.strides)
        candidates = select_candidates(
            list(outputs[:levels]), list(outputs[levels:]), valid_shape, self.strides, self.point_offset, self.test
        )
        return sort_candidates(*candidates) if self.sort else candidates


def select_candidates(
    cls_scores: list[Tensor],
    bbox_preds: list[Tensor],
    valid_shape: Tensor,
    strides: tuple[int, ...],
    point_offset: float,
    test: TestConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Per level: sigmoid, threshold, top `nms_pre`, decode, clip.

    Args:
        cls_scores: per level, logits [N, num_classes, H_l, W_l].
        bbox_preds: per level, [N, 4, H_l, W_l] distances left, top, right, bottom, in resized pixels.
        valid_shape: int32 [N, 2], height and width boxes are clipped to.

    Returns:
        See `Detector.forward`; each level by falling score, one behind the other.
    """
    levels = [
        select_level(cls_score, bbox_pred, valid_shape, stride, point_offset, test)
        for cls_score, bbox_pred, stride in zip(cls_scores, bbox_preds, strides, strict=True)
    ]
    boxes, scores, labels = (torch.cat(values, 1) for values in zip(*levels, strict=True))
    return boxes, scores, labels.int()


def sort_candidates(boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates [N, K, 4], [N, K], [N, K] by falling score; those that score alike keep their order."""
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return boxes.gather(1, order[:, :, None].expand(-1, -1, 4)), scores, labels.gather(1, order)


def select_level(
    cls_score: Tensor, bbox_pred: Tensor, valid_shape: Tensor, stride: int, point_offset: float, test: TestConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """One level's best `nms_pre` (location, class) pairs: boxes [N, k, 4], scores [N, k], labels [N, k]."""
    n, num_classes, height, width = cls_score.shape
    # 1. Scores location-major, class fastest; not above the threshold counts as zero.
    scores = cls_score.float().permute(0, 2, 3, 1).reshape(n, -1).sigmoid()
    scores = torch.where(scores > test.score_threshold, scores, 0.0)
    # 2. The first `nms_pre` by falling score. A small level is padded, so that every level gives
    #    as many: engines that batch need one output shape.
    scores = F.pad(scores, (0, test.nms_pre))
    scores, index = scores.topk(test.nms_pre, dim=1)
    index = index.clamp(max=height * width * num_classes - 1)
    location = torch.div(index, num_classes, rounding_mode="floor")
    label = index % num_classes
    # 3. Decode the chosen locations' distances from their points.
    distance = bbox_pred.permute(0, 2, 3, 1).reshape(n, -1, 4)
    distance = distance.gather(1, location[:, :, None].expand(-1, -1, 4))
    x = ((location % width).float() + point_offset) * stride
    y = (torch.div(location, width, rounding_mode="floor").float() + point_offset) * stride
    # 4. Clip to the image without its padding, inclusively.
    valid = valid_shape.to(distance.dtype)
    bottom, right = valid[:, :1], valid[:, 1:]
    boxes = (
        torch.minimum((x - distance[..., 0]).clamp(min=0), right),
        torch.minimum((y - distance[..., 1]).clamp(min=0), bottom),
        torch.minimum((x + distance[..., 2]).clamp(min=0), right),
        torch.minimum((y + distance[..., 3]).clamp(min=0), bottom),
    )
    return torch.stack(boxes, dim=2), scores, label
