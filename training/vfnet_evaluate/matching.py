"""Which detection is which object: what the confusion matrix counts and the worst images show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask

from vfnet_data.dataset import AnnotatedImage, DetectionDataset
from vfnet_model.detectors.image_detections import ImageDetections

IOU_THRESHOLD = 0.5
NOTHING = -1


@dataclass(frozen=True)
class OperatingPoint:
    """The score threshold with the best F1 of all classes together, and what it gives, at IoU 0.5.

    As with COCO's figures, -1 where there is nothing to count: precision without detections, recall without objects.
    """

    score_threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """The detections of one image that reach a score, each with the object it was matched to."""

    found: ImageDetections
    truth_of: npt.NDArray[np.int64]
    """[n] per detection, index of its object or `NOTHING`."""
    ignored: npt.NDArray[np.bool_]
    """[n] per detection, whether it lies on a crowd of its class and counts neither way."""
    missed: npt.NDArray[np.int64]
    """Indices of the objects (crowds are none) that no detection was matched to."""

    def wrong(self, image: AnnotatedImage) -> int:
        """How many mistakes: false detections, wrong labels, missed objects."""
        return len(self.missed) + int(np.count_nonzero(~self.right(image) & ~self.ignored))

    def right(self, image: AnnotatedImage) -> npt.NDArray[np.bool_]:
        """[n], whether the detection is matched to an object of its own class."""
        matched = self.truth_of != NOTHING
        same = np.zeros(len(matched), np.bool_)
        same[matched] = image.labels[self.truth_of[matched]] == self.found.labels[matched]
        return same


def find_operating_point(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> OperatingPoint:
    """The best threshold for these data; of equally good ones the highest."""
    scores, right = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for image, found in zip(dataset.images, detections, strict=True):
        matches = match(image, found)
        scores.append(matches.found.scores[~matches.ignored])
        right.append(matches.right(image)[~matches.ignored])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    ranked, hits = np.concatenate(scores)[order], np.cumsum(np.concatenate(right)[order])
    objects = sum(int(np.count_nonzero(~image.crowd)) for image in dataset.images)
    if not len(ranked) or not objects or not hits[-1]:
        precision, recall = 0.0 if len(ranked) else -1.0, 0.0 if objects else -1.0
        return OperatingPoint(0.0, precision, recall, 0.0 if objects else -1.0)
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + objects)
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # a threshold cannot part equal scores
    best = int(np.argmax(f1))
    return OperatingPoint(
        float(ranked[best]), float(hits[best] / (best + 1)), float(hits[best] / objects), float(f1[best])
    )


def match(image: AnnotatedImage, found: ImageDetections, score_threshold: float = 0.0) -> ImageMatches:
    """Match one to one at IoU 0.5, better scores first: with objects of the own class, then with any that are left."""
    order = np.argsort(-found.scores, kind="stable")
    order = order[found.scores[order] >= score_threshold]
    kept = ImageDetections(found.boxes[order], found.scores[order], found.labels[order])
    overlaps = _overlaps(kept.boxes, image)
    same = kept.labels[:, None] == image.labels[None, :]
    free = ~image.crowd
    truth_of = np.full(len(order), NOTHING, np.int64)
    ignored = np.zeros(len(order), np.bool_)
    for among in (same, np.ones_like(same)):
        for index in np.flatnonzero(truth_of == NOTHING):
            allowed = among[index] & free & (overlaps[index] >= IOU_THRESHOLD) & ~ignored[index]
            if allowed.any():
                truth_of[index] = int(np.argmax(np.where(allowed, overlaps[index], -1)))
                free[truth_of[index]] = False
            elif (same[index] & image.crowd & (overlaps[index] >= IOU_THRESHOLD)).any():
                ignored[index] = True
    return ImageMatches(kept, truth_of, ignored, np.flatnonzero(free))


def confusion_matrix(dataset: DetectionDataset, matches: Sequence[ImageMatches]) -> npt.NDArray[np.int64]:
    """Counts [classes + 1, classes + 1]: row the object's class, last background; column the label, last missed."""
    background = len(dataset.classes)
    counts = np.zeros((background + 1, background + 1), np.int64)
    for image, matched in zip(dataset.images, matches, strict=True):
        truth = np.append(image.labels, background)[matched.truth_of]  # NOTHING, -1, is the last
        counted = ~matched.ignored
        np.add.at(counts, (truth[counted], matched.found.labels[counted]), 1)
        np.add.at(counts[:, background], image.labels[matched.missed], 1)
    return counts


def _overlaps(boxes: npt.NDArray[np.float64], image: AnnotatedImage) -> npt.NDArray[np.float64]:
    """IoU [n, m]; with a crowd the share of the detection that lies on it, as COCO counts."""
    if not len(boxes) or not len(image.boxes):
        return np.zeros((len(boxes), len(image.boxes)))
    sides = [np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1) for b in (boxes, image.boxes.astype(np.float64))]
    return np.asarray(mask.iou(*sides, image.crowd.astype(np.uint8)), np.float64)
