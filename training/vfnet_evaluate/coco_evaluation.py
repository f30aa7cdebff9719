"""COCO's figures of a set of detections, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vfnet_data.coco_writing import coco_document
from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_results import coco_results
from vfnet_model.detectors.image_detections import ImageDetections

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's twelve numbers, in the order of pycocotools' `stats`."""
Indexable = tuple[list[Any], list[Any], list[Any]]
"""A COCO document's images, annotations and categories."""
_IOU_50, _IOU_75, _ALL_AREAS, _HUNDRED_DETECTIONS = 0, 5, 0, 2  # indices into pycocotools' arrays


@dataclass(frozen=True)
class ClassFigures:
    """One class's figures, named as COCO names them, 0 to 1; -1 where the data hold no object of it."""

    AP: float
    AP50: float
    AP75: float
    AR100: float
    objects: int
    """Ground truth boxes that count."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome. Every figure is 0 to 1, or -1 where there is nothing to count, as pycocotools has it."""

    figures: dict[str, float]
    """Keys as `FIGURES`."""
    per_class: dict[str, ClassFigures]
    """By class name, in the data set's order."""
    precision: npt.NDArray[np.float64]
    """[10 IoU thresholds 0.5 to 0.95, 101 recalls 0 to 1, classes], interpolated; -1 where a class has no object."""

    @property
    def ap(self) -> float:
        """Box AP: mean over IoU thresholds 0.5 to 0.95 and classes."""
        return self.figures["AP"]


def evaluate_detections(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> Evaluation:
    """Score detections as COCO does: at most 100 a class and image; crowd boxes neither help nor harm.

    Args:
        dataset: the ground truth.
        detections: one for each of `dataset.images`, in their order; `labels` index `dataset.classes`.
    """
    truth, found = truth_and_found(dataset, detections)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
        scored = COCOeval(index(*truth), index(*found), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    figures = {name: float(value) for name, value in zip(FIGURES, scored.stats, strict=True)}
    precision = scored.eval["precision"][:, :, :, _ALL_AREAS, _HUNDRED_DETECTIONS]
    recall = scored.eval["recall"][:, :, _ALL_AREAS, _HUNDRED_DETECTIONS]
    objects = _count_objects(dataset)
    per_class = {
        name: ClassFigures(
            AP=_mean(precision[:, :, number]),
            AP50=_mean(precision[_IOU_50, :, number]),
            AP75=_mean(precision[_IOU_75, :, number]),
            AR100=_mean(recall[:, number]),
            objects=objects[number],
        )
        for number, name in enumerate(dataset.classes)
    }
    return Evaluation(figures, per_class, precision)


def truth_and_found(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> tuple[Indexable, Indexable]:
    """For `index`. Images and categories are numbered from 1 in the data set's order.

    pycocotools sorts categories by id, so that its order is that of the classes. Ids of images may be larger than
    NumPy's integers.
    """
    images = tuple(replace(image, image_id=number) for number, image in enumerate(dataset.images, 1))
    numbered = replace(dataset, images=images, category_ids=())
    document = coco_document(numbered, Path())
    return (document["images"], document["annotations"], document["categories"]), _found(numbered, detections)


def _found(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> Indexable:
    # Not COCO.loadRes, which fails where there are no detections at all. pycocotools takes an id of 0 for no match.
    annotations = [
        {"id": number, "iscrowd": 0, "area": result["bbox"][2] * result["bbox"][3], **result}
        for number, result in enumerate(coco_results(dataset, detections), 1)
    ]
    document = coco_document(replace(dataset, images=()), Path())
    return [{"id": image.image_id} for image in dataset.images], annotations, document["categories"]


def index(images: list[Any], annotations: list[Any], categories: list[Any]) -> COCO:
    """As pycocotools reads it of a file."""
    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": categories}
    coco.createIndex()
    return coco


def _count_objects(dataset: DetectionDataset) -> list[int]:
    labels = [image.labels[~image.crowd] for image in dataset.images]
    counted = np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=len(dataset.classes))
    return [int(count) for count in counted]


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Of what is there: pycocotools marks the rest with -1."""
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0
