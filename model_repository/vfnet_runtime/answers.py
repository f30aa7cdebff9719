"""Candidates of one image -> its detections, as arrays and as the documented JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfnet_runtime.non_maximum_suppression import batched_nms
from vfnet_runtime.suppression import Suppression


@dataclass(frozen=True)
class Detections:
    """Detections by class index, inside a class by falling score."""

    boxes: NDArray[Any]
    """float32 [n, 4] x1 y1 x2 y2 in pixels of the stored image."""
    scores: NDArray[Any]
    """float32 [n]."""
    labels: NDArray[Any]
    """int32 [n], class indices."""

    def to_json(self, classes: Sequence[str], width: float, height: float) -> str:
        """The contract's `{"boxes": [...]}`; corners as fractions of the stored width and height."""
        corners = self.boxes.astype(np.float64) / (width, height, width, height)
        boxes = [
            {
                "box": {"topX": x1, "topY": y1, "bottomX": x2, "bottomY": y2},
                "label": classes[label],
                "score": score,
            }
            for (x1, y1, x2, y2), label, score in zip(
                corners.tolist(), self.labels.tolist(), self.scores.tolist(), strict=True
            )
        ]
        return json.dumps({"boxes": boxes})


def detect(
    candidate_boxes: NDArray[Any],
    candidate_scores: NDArray[Any],
    candidate_labels: NDArray[Any],
    scale_factor: NDArray[Any],
    suppression: Suppression,
) -> Detections:
    """Rescale, suppress, cap and order the candidates of one image (reference: mmdet's `_bbox_post_process`).

    Args:
        candidate_boxes: float32 [K, 4] x1 y1 x2 y2 in resized pixels.
        candidate_scores: float32 [K]; 0 where there is no candidate. Best by falling score: else they are sorted here.
        candidate_labels: int32 [K].
        scale_factor: float32 [2], resized / stored width and height.
        suppression: which of them become detections.
    """
    if (candidate_scores[:-1] < candidate_scores[1:]).any():  # not every engine can sort so many
        order = np.argsort(-candidate_scores, kind="stable")
        candidate_boxes, candidate_scores = candidate_boxes[order], candidate_scores[order]
        candidate_labels = candidate_labels[order]
    count = int(np.count_nonzero(candidate_scores > 0))
    boxes, scores, labels = candidate_boxes[:count], candidate_scores[:count], candidate_labels[:count]
    # mmdet suppresses in the stored image's coordinates.
    boxes = boxes / np.concatenate([scale_factor, scale_factor]).astype(np.float32)
    is_wanted = None if suppression.is_wanted is None else suppression.is_wanted[labels]
    kept = batched_nms(boxes, labels, suppression.iou_threshold, suppression.max_per_img, is_wanted)
    # The threshold comes after: what is dropped scores lower and has suppressed nothing above it.
    kept = kept[scores[kept] > np.float32(suppression.score_threshold)]
    kept = kept[np.argsort(labels[kept], kind="stable")]
    return Detections(boxes[kept], scores[kept], labels[kept])
