"""Everything an evaluation found: as JSON, as text for a terminal, and as a folder with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_client.safe_text import markdown_text, printable_line
from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_evaluation import Evaluation, evaluate_detections
from vfnet_evaluate.matching import (
    IOU_THRESHOLD,
    ImageMatches,
    OperatingPoint,
    confusion_matrix,
    find_operating_point,
    match,
)
from vfnet_evaluate.sources import DetectedDataset

_FAILURES_SHOWN = 20


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """COCO's figures, and what explains them."""

    source: str
    """What was evaluated: a server, a checkpoint or a file."""
    dataset: DetectionDataset
    detected: DetectedDataset
    evaluation: Evaluation
    operating_point: OperatingPoint
    matches: tuple[ImageMatches, ...]
    """For each image, at the operating point."""
    confusion: npt.NDArray[np.int64]
    """See `confusion_matrix`; at the operating point."""

    def to_json(self) -> dict[str, Any]:
        """Every figure; COCO's twelve at the top, named as COCO names them."""
        return {
            **self.evaluation.figures,
            "source": self.source,
            "images": len(self.dataset.images),
            "objects": sum(figures.objects for figures in self.evaluation.per_class.values()),
            "detections": sum(len(found.scores) for found in self.detected.detections),
            "per_class": {name: asdict(figures) for name, figures in self.evaluation.per_class.items()},
            "operating_point": {"iou_threshold": IOU_THRESHOLD, **asdict(self.operating_point)},
            "confusion_matrix": {
                "rows": [*self.dataset.classes, "background"],
                "columns": [*self.dataset.classes, "missed"],
                "counts": self.confusion.tolist(),
            },
            "notes": [*self.dataset.notes, *self.detected.notes],
            "failed_images": [
                {
                    "image_id": self.dataset.images[position].image_id,
                    "path": printable_line(str(path), 4096),
                    "reason": printable_line(reason, 1000),
                }
                for position, path, reason in self.failures()
            ],
        }

    def failures(self) -> list[tuple[int, Path, str]]:
        """Position, file and reason of each image that counts as no detections because it failed."""
        failures = sorted(self.detected.failures.items())
        return [(position, self.dataset.images[position].path, reason) for position, reason in failures]

    def told_failures(self) -> list[str]:
        """`failures` in lines for a person: the first, and how many there are; none without any."""
        failures, told = self.failures(), "images failed and count as without detections"
        lines = [f"{path}: {reason}" for _, path, reason in failures[:_FAILURES_SHOWN]]
        return [*lines, f"{len(failures)} of {len(self.dataset.images)} {told}"] if failures else []

    def worst(self, count: int) -> list[int]:
        """Positions of the images with most mistakes at the operating point, worst first; none without any."""
        wrong = [matched.wrong(image) for image, matched in zip(self.dataset.images, self.matches, strict=True)]
        ranked = sorted(range(len(wrong)), key=lambda position: -wrong[position])
        return [position for position in ranked[:count] if wrong[position]]

    def to_markdown(self) -> str:
        """The figures as two tables and a few lines."""
        figures = self.evaluation.figures
        objects = sum(each.objects for each in self.evaluation.per_class.values())
        point = self.operating_point
        lines = [
            f"{markdown_text(self.source, 1000)}: {len(self.dataset.images)} images, {objects} objects",
            "",
            *table([list(figures), [percent(value) for value in figures.values()]]),
            "",
            *table(
                [["class", "AP", "AP50", "AP75", "AR100", "objects"]]
                + [
                    [
                        markdown_text(name),
                        *map(percent, (each.AP, each.AP50, each.AP75, each.AR100)),
                        str(each.objects),
                    ]
                    for name, each in self.evaluation.per_class.items()
                    if each.objects
                ]
            ),
            "",
            f"Best F1 at IoU {IOU_THRESHOLD}: {_share(point.f1)}, with scores from {point.score_threshold:.3f} on "
            f"(precision {_share(point.precision)}, recall {_share(point.recall)})",
        ]
        return "\n".join(lines)


def make_report(source: str, dataset: DetectionDataset, detected: DetectedDataset) -> EvaluationReport:
    """Compute everything. `source` says what was evaluated."""
    evaluation = evaluate_detections(dataset, detected.detections)
    point = find_operating_point(dataset, detected.detections)
    matches = tuple(
        match(image, found, point.score_threshold)
        for image, found in zip(dataset.images, detected.detections, strict=True)
    )
    return EvaluationReport(source, dataset, detected, evaluation, point, matches, confusion_matrix(dataset, matches))


def percent(value: float) -> str:
    """In percent, as papers give AP; a dash where there is nothing to count."""
    return "-" if value < 0 else f"{100 * value:.1f}"


def _share(value: float) -> str:
    return "\N{EN DASH}" if value < 0 else f"{value:.3f}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown whose columns line up in a terminal too; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [body[0], "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|", *body[1:]]
