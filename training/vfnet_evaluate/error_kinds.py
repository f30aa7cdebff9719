"""What keeps the precision from 1: COCO's kinds of errors.

The definition is MMDetection's, `tools/analysis_tools/coco_error_analysis.py` of 2.28.2, which follows COCO's own
(https://cocodataset.org/#detection-eval, "Analysis"). Each kind is the area under a precision/recall curve, at most 100
detections of a class and image, and each forgives more than the one before:

    C75  IoU 0.75
    C50  IoU 0.5, which is AP50
    Loc  IoU 0.1: an inexact place is forgiven
    Sim  as Loc; a detection on an object of another class of the same supercategory counts neither way
    Oth  as Loc; a detection on an object of any other class counts neither way
    BG   1 as far as Oth is above 0: false detections on the background are forgiven too
    FN   1: missed objects are forgiven too

So Loc - C50 is what inexact places cost, Oth - Loc confused classes, BG - Oth the background, FN - BG what is missed.

One thing differs: a class without an object (of a size) is left out of the mean, as in COCO's AP, where MMDetection's
tool counts it with 0. Where the data name no supercategories, Sim is Loc.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval

from vfnet_data.dataset import DetectionDataset
from vfnet_evaluate.coco_evaluation import Indexable, index, truth_and_found
from vfnet_model.detectors.image_detections import ImageDetections

KINDS = ("C75", "C50", "Loc", "Sim", "Oth", "BG", "FN")
SIZES = ("all", "small", "medium", "large")
"""COCO's, in the order of pycocotools' `areaRng`: below 32 x 32 pixels, below 96 x 96, the rest."""
_IOU_THRESHOLDS = (0.75, 0.5, 0.1)
_LOOSE = 0.1


@dataclass(frozen=True, eq=False)
class ErrorKinds:
    """The curves of one set of detections."""

    precision: npt.NDArray[np.float64]
    """[`KINDS`, 101 recalls 0 to 1, classes, `SIZES`], 0 to 1; -1 where a class has no object of the size."""

    def area(self, kind: str, size: str = "all", label: int | None = None) -> float:
        """Under the curve: of a class, or of all that have objects. -1 where there are none."""
        curves = self.curves(size)[KINDS.index(kind)] if label is None else self._curve(kind, size, label)
        return float(curves.mean()) if curves.size else -1.0

    def curves(self, size: str = "all") -> npt.NDArray[np.float64]:
        """[`KINDS`, 101 recalls], the mean over the classes with objects of the size; [`KINDS`, 0] without any."""
        of_size = self.precision[..., SIZES.index(size)]
        counted = of_size[-1, 0] >= 0
        return of_size[..., counted].mean(axis=-1) if counted.any() else np.zeros((len(KINDS), 0))

    def _curve(self, kind: str, size: str, label: int) -> npt.NDArray[np.float64]:
        curve = self.precision[KINDS.index(kind), :, label, SIZES.index(size)]
        return curve[curve >= 0]


def error_kinds(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> ErrorKinds:
    """Analyse detections, one for each of `dataset.images`, in their order; `labels` index `dataset.classes`."""
    truth, found = truth_and_found(dataset, detections)
    exact = _precision(truth, found, _IOU_THRESHOLDS, range(1, len(dataset.classes) + 1))
    precision = np.concatenate([exact, np.full((len(KINDS) - len(exact), *exact.shape[1:]), -1.0)])
    supercategories = dataset.supercategories or (None,) * len(dataset.classes)
    for label, above in enumerate(supercategories):
        similar = {other + 1 for other, each in enumerate(supercategories) if above is not None and each == above}
        everything = set(range(1, len(dataset.classes) + 1))
        for kind, forgiven in ((3, similar), (4, everything)):
            alike = _forgiving(truth, found, label + 1, forgiven)
            precision[kind, :, label] = _precision(*alike, (_LOOSE,), [label + 1])[0, :, 0]
    there = precision[4] >= 0
    precision[5] = np.where(there, precision[4] > 0, -1)
    precision[6] = np.where(there, 1, -1)
    return ErrorKinds(precision)


def _forgiving(truth: Indexable, found: Indexable, category: int, forgiven: set[int]) -> tuple[Indexable, Indexable]:
    """One category's detections; objects of the `forgiven` others become crowds of it, as in MMDetection's tool."""
    images, annotations, categories = truth
    ours = [each for each in found[1] if each["category_id"] == category]
    looked_at = {each["image_id"] for each in ours}
    own: list[Any] = [each for each in annotations if each["category_id"] == category]
    others = [
        {**each, "category_id": category, "iscrowd": 1}
        for each in annotations
        if each["category_id"] in forgiven and each["category_id"] != category and each["image_id"] in looked_at
    ]
    there = looked_at | {each["image_id"] for each in own}
    images = [image for image in images if image["id"] in there]  # the others hold nothing of it
    return (images, own + others, categories), (images, ours, categories)


def _precision(
    truth: Indexable, found: Indexable, thresholds: Sequence[float], categories: Sequence[int]
) -> npt.NDArray[np.float64]:
    """[thresholds, 101 recalls, categories, `SIZES`], -1 without objects."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
        scored = COCOeval(index(*truth), index(*found), "bbox")
        scored.params.iouThrs, scored.params.maxDets = list(thresholds), [100]
        scored.params.catIds = list(categories)
        scored.evaluate()
        scored.accumulate()
    return np.asarray(scored.eval["precision"][..., 0], np.float64)
