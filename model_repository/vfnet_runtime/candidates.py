"""Dense head outputs -> scored candidate boxes, in NumPy.

The same steps as `select_candidates` of the torch network. OpenVINO's own TopK takes 40 ms of them at
800 x 1088; here they are 3 ms, because only what can pass the threshold is ever looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CandidateSettings:
    """The checkpoint's `test_cfg` and point grid, as far as candidates go."""

    strides: tuple[int, ...]
    point_offset: float
    nms_pre: int
    score_threshold: float


def select_candidates(
    cls_scores: Sequence[NDArray[Any]],
    bbox_preds: Sequence[NDArray[Any]],
    valid_shape: NDArray[Any],
    settings: CandidateSettings,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Candidates of one image.

    Args:
        cls_scores: per level, float32 logits [num_classes, H_l, W_l].
        bbox_preds: per level, float32 [4, H_l, W_l] distances left, top, right, bottom, in resized pixels.
        valid_shape: int32 [2], height and width boxes are clipped to.

    Returns:
        boxes float32 [K, 4] x1 y1 x2 y2 in resized pixels, scores float32 [K], labels int32 [K]; K = levels x
        `nms_pre`, all levels together by falling score, score 0 beyond the last candidate.
    """
    levels = [
        select_level(cls_score, bbox_pred, valid_shape, stride, settings)
        for cls_score, bbox_pred, stride in zip(cls_scores, bbox_preds, settings.strides, strict=True)
    ]
    found_boxes, found_scores, found_labels = (np.concatenate(values) for values in zip(*levels, strict=True))
    order = np.argsort(-found_scores, kind="stable")
    capacity = len(settings.strides) * settings.nms_pre
    boxes, scores = np.zeros((capacity, 4), np.float32), np.zeros(capacity, np.float32)
    labels = np.zeros(capacity, np.int32)
    boxes[: len(order)], scores[: len(order)] = found_boxes[order], found_scores[order]
    labels[: len(order)] = found_labels[order]
    return boxes, scores, labels


def select_level(
    cls_score: NDArray[Any],
    bbox_pred: NDArray[Any],
    valid_shape: NDArray[Any],
    stride: int,
    settings: CandidateSettings,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """One level's best candidates, at most `nms_pre`: boxes [n, 4], scores [n], labels [n]."""
    num_classes, height, width = cls_score.shape
    logits = cls_score.reshape(-1)
    # 1. Strictly above the threshold. A looser bound on the logit spares the sigmoid of the rest.
    index = np.flatnonzero(logits > _logit(settings.score_threshold) - 1e-3)
    scores = sigmoid(logits[index])
    passing = scores > np.float32(settings.score_threshold)
    index, scores = index[passing], scores[passing]
    # 2. The first `nms_pre` by falling score; ties in mmdet's order, location-major, class fastest.
    label, location = np.divmod(index, height * width)
    first = np.lexsort((location * num_classes + label, -scores))[: settings.nms_pre]
    label, location, scores = label[first], location[first], scores[first]
    # 3. Decode from the points of those locations.
    row, column = np.divmod(location, width)
    x = ((column + np.float32(settings.point_offset)) * stride).astype(np.float32)
    y = ((row + np.float32(settings.point_offset)) * stride).astype(np.float32)
    left, top, right, bottom = bbox_pred.reshape(4, -1)[:, location]
    # 4. Clip to the image without its padding, inclusively.
    valid_height, valid_width = np.float32(valid_shape[0]), np.float32(valid_shape[1])
    boxes = np.stack(
        [
            (x - left).clip(0, valid_width),
            (y - top).clip(0, valid_height),
            (x + right).clip(0, valid_width),
            (y + bottom).clip(0, valid_height),
        ],
        axis=1,
    )
    return boxes, scores, label.astype(np.int32)


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """float32 -> float32, correctly rounded: computed in float64, which torch's is within one unit of."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _logit(probability: float) -> float:
    """Inverse sigmoid, infinite at both ends: a threshold of 0 lets everything through, one of 1 nothing."""
    if 0 < probability < 1:
        return math.log(probability / (1 - probability))
    return math.inf if probability > 0 else -math.inf
