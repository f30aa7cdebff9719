"""Measures each scale: seconds of an image, and the figures of COCO."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vfnet_bench.measurement import Quartiles, quartiles
from vfnet_bench.progress import Progress
from vfnet_bench.rounds import turns
from vfnet_client.bounded_files import read_file
from vfnet_client.detections import Detections
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import as_detected
from vfnet_model.detectors.repository_detector import RepositoryDetector

Scale = tuple[int, int]
"""Longest and shortest side, in pixels, that an image is resized to fit."""
FIGURES = ("AP", "AP50", "APs", "APm", "APl")
"""Of COCO's, 0 to 1; -1 where there is nothing to count."""


@dataclass(frozen=True)
class ScalePoint:
    """One scale."""

    scale: Scale
    seconds: Quartiles
    """Of an image, one at a time on all cores: decoding, resizing, the network, suppression."""
    of_first: float
    """The median over images of its seconds / those of the first scale."""
    figures: dict[str, float]
    """`FIGURES`."""

    @property
    def name(self) -> str:
        """Such as `800x480`."""
        return "{}x{}".format(*self.scale)


def measure_scales(
    detector: RepositoryDetector, dataset: DetectionDataset, scales: Sequence[Scale], progress: Progress
) -> list[ScalePoint]:
    """Detect in every image at every scale, the scales in turn, so that a slow minute slows them all.

    Raises:
        InvalidImageError: an image cannot be read.
        EvaluationError: the detector and the data have no label in common.
    """
    detectors = [detector.at_scale(scale) for scale in scales]
    answers: list[list[Detections]] = [[] for _ in scales]
    seconds: list[list[float]] = [[] for _ in scales]
    with progress.steps(len(dataset.images) * len(scales)):
        for number, index in turns(range(len(scales)), len(dataset.images)):
            encoded = read_file(dataset.images[number].path, MAX_FILE_BYTES)
            if number == 0:
                detectors[index].detect(encoded)  # the first image of a size takes longer
            started = time.perf_counter()
            answers[index].append(detectors[index].detect(encoded))
            seconds[index].append(time.perf_counter() - started)
            progress.step()
    return [
        ScalePoint(
            scale=scale,
            seconds=quartiles(seconds[index]),
            of_first=median(mine / first for mine, first in zip(seconds[index], seconds[0], strict=True)),
            figures=_figures(dataset, answers[index], detector.classes),
        )
        for index, scale in enumerate(scales)
    ]


def smaller_scales(own: Scale) -> list[Scale]:
    """A checkpoint's own scale, and 80, 60, 48 and 36 % of it."""
    longest, shortest = own
    return [(round(longest * share), round(shortest * share)) for share in (1, 0.8, 0.6, 0.48, 0.36)]


def _figures(dataset: DetectionDataset, answers: Sequence[Detections], classes: Sequence[str]) -> dict[str, float]:
    detected = as_detected(dataset, answers, classes, {}, all_known=True)
    found = evaluate_detections(dataset, detected.detections).figures
    return {name: found[name] for name in FIGURES}
