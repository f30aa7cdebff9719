"""Whether an engine may stand in for the network it was made from: by AP on annotated images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfnet_data.reading import read_dataset
from vfnet_evaluate.agreement import Matched, agreement
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import detect_with_network
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.network_detector import NetworkDetector
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.resizing import ResizedImage

Candidates = Callable[[Any, Any], tuple[Any, Any, Any]]
"""Pixels uint8 [1, H, W, 3], valid_shape int32 [1, 2] -> one image's boxes [K, 4], scores [K], labels [K]."""
MAX_LOSS = 0.003
"""Of AP, that half precision may cost."""


@dataclass(frozen=True)
class Acceptance:
    """Of both on the same images."""

    exact: float
    """AP of the network in float32."""
    found: float
    """AP of the engine."""
    sure: Matched
    """The network's boxes above 0.3, and how many of them the engine finds, with IoU of at least 0.95."""
    likely: Matched
    """The same above 0.1: many more, of which a share says more."""

    @property
    def accepted(self) -> bool:
        """Whether it loses no more than `MAX_LOSS`."""
        return self.exact - self.found <= MAX_LOSS


class CandidatesDetector(NetworkDetector):
    """Preprocessing and suppression are those served; an engine finds the candidates."""

    def __init__(self, config: VFNetConfig, candidates: Candidates) -> None:
        super().__init__(config, lambda *_: [])
        self._engine = candidates

    def _find_candidates(self, image: ResizedImage) -> tuple[Any, Any, Any]:
        return self._engine(image.pixels, image.valid_shape)


def compare_with_network(network: VFNet, candidates: Candidates, annotations: Path, images: Path) -> Acceptance:
    """AP of the network in float32, where it is, and of an engine.

    Raises:
        DatasetError, and what `detect_with_network` raises.
    """
    dataset = read_dataset(annotations, images)
    detectors = (CheckpointDetector(network), CandidatesDetector(network.config, candidates))
    exact, found = (detect_with_network(dataset, detector).detections for detector in detectors)
    return Acceptance(
        exact=evaluate_detections(dataset, exact).figures["AP"],
        found=evaluate_detections(dataset, found).figures["AP"],
        sure=agreement(exact, found, score_threshold=0.3, iou_threshold=0.95),
        likely=agreement(exact, found, score_threshold=0.1, iou_threshold=0.95),
    )


def compare_on_photos(network: VFNet, candidates: Candidates, photos: Sequence[Path]) -> Matched:
    """The network's boxes above 0.3 in photos, and how many of them an engine finds, with IoU of at least 0.95.

    Those that cannot be read count for nothing.
    """
    detectors = (CheckpointDetector(network), CandidatesDetector(network.config, candidates))
    exact, found = (
        [each if isinstance(each, ImageDetections) else ImageDetections.none() for each in detector.detect_many(photos)]
        for detector in detectors
    )
    return agreement(exact, found, score_threshold=0.3, iou_threshold=0.95)
