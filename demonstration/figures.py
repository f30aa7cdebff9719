"""How well a checkpoint detects, for its model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vfnet_data.reading import read_dataset
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import detect_with_network
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector, load_network


@dataclass(frozen=True)
class DatasetFigures:
    """COCO's figures on one data set, 0 to 1."""

    images: int
    objects: int
    overall: dict[str, float]
    """By COCO's names: AP, AP50, AP75, …"""
    per_class: dict[str, float]
    """AP by class."""


def evaluate_checkpoint(checkpoint: Path, annotations: Path, images: Path) -> DatasetFigures:
    """Detect with the file as it is served, and compare with the annotations."""
    dataset = read_dataset(annotations, images)
    network = load_network(open_checkpoint(str(checkpoint)))
    detected = detect_with_network(dataset, CheckpointDetector(network))
    evaluation = evaluate_detections(dataset, detected.detections)
    return DatasetFigures(
        images=len(dataset.images),
        objects=sum(len(image.labels) for image in dataset.images),
        overall=evaluation.figures,
        per_class={name: figures.AP for name, figures in evaluation.per_class.items()},
    )
