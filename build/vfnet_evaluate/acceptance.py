"""Whether an engine's file may stand in for the network it was made from: by AP on annotated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfnet_build.architecture.vfnet import VFNet
from vfnet_data.reading import read_dataset
from vfnet_evaluate.checkpoint_detector import CheckpointDetector
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.image_detections import ImageDetections
from vfnet_evaluate.sources import detect_with_checkpoint

Candidates = Callable[[Any, Any], tuple[Any, Any, Any]]
"""Pixels uint8 [1, H, W, 3], valid_shape int32 [1, 2] -> one image's boxes [K, 4], scores [K], labels [K]."""
MAX_LOSS = 0.003
"""Of AP, that half precision may cost."""


@dataclass(frozen=True)
class Acceptance:
    """AP of both on the same images."""

    exact: float
    found: float

    @property
    def accepted(self) -> bool:
        """Whether it loses no more than `MAX_LOSS`."""
        return self.exact - self.found <= MAX_LOSS


class CandidatesDetector(CheckpointDetector):
    """A `CheckpointDetector` whose network is replaced by what an engine makes of it."""

    def __init__(self, network: VFNet, candidates: Candidates) -> None:
        """`network` gives the settings, `candidates` the answers."""
        super().__init__(network)
        self._engine = candidates

    def _detect(self, image: Any) -> ImageDetections:
        boxes, scores, labels = self._engine(image.pixels, image.valid_shape)
        test = self.config.test
        found = self._detections.detect(
            boxes, scores, labels, image.geometry[0, 2:], test.iou_threshold, test.max_per_img
        )
        return ImageDetections(
            found.boxes.astype(np.float64), found.scores.astype(np.float64), found.labels.astype(np.int64)
        )


def compare_with_network(network: VFNet, candidates: Candidates, annotations: Path, images: Path) -> Acceptance:
    """AP of the network in float32, where it is, and of an engine.

    Raises:
        vfnet_data.checking.DatasetError and whatever `detect_with_checkpoint` raises.
    """
    dataset = read_dataset(annotations, images)
    detectors = (CheckpointDetector(network), CandidatesDetector(network, candidates))
    exact, found = (
        evaluate_detections(dataset, detect_with_checkpoint(dataset, detector).detections).figures["AP"]
        for detector in detectors
    )
    return Acceptance(exact, found)
