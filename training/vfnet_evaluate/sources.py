"""Where the detections of a whole data set come from: a running server, or a checkpoint in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vfnet_client.client import VFNetClient
from vfnet_client.commands.tiling_options import served_note_on_training
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.detections import Detections, ImageResult
from vfnet_client.exceptions import InvalidImageError, InvalidOptionsError, ServerUnavailableError
from vfnet_client.progress import with_progress
from vfnet_data.dataset import AnnotatedImage, DetectionDataset
from vfnet_evaluate.errors import EvaluationError
from vfnet_evaluate.label_names import reconcile
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_tiling.tiling import Tiling

if TYPE_CHECKING:  # evaluating a server needs nothing of vfnet_build
    from vfnet_model.detectors.network_detector import NetworkDetector

_ENOUGH_BOXES = 100
"""Among so many detections one should bear a name that the data know."""


@dataclass(frozen=True, eq=False)
class DetectedDataset:
    """Detections for each image of a data set; `labels` index the data's classes."""

    detections: list[ImageDetections]
    failures: dict[int, str] = field(default_factory=dict)
    """By position in the data set: why there are none for an image."""
    notes: tuple[str, ...] = ()
    """About labels and tiles, for the person who reads the figures."""


def detect_with_network(dataset: DetectionDataset, detector: NetworkDetector) -> DetectedDataset:
    """Detect in every image in this process.

    Raises:
        EvaluationError: model and data have no label in common, or no image could be read.
    """
    labels = reconcile(detector.classes, dataset.classes, annotated=dataset.annotated_classes)
    to_data = np.array([labels.index_of.get(name, -1) for name in detector.classes], np.int64)
    detections, failures = [], dict[int, str]()
    outcomes = detector.detect_many(image.path for image in dataset.images)
    for position, outcome in enumerate(with_progress(outcomes, len(dataset.images), "detecting")):
        if isinstance(outcome, InvalidImageError):
            failures[position] = str(outcome)
            outcome = ImageDetections.none()
        detections.append(_relabelled(outcome, to_data))
    _check_any(dataset, failures)
    return DetectedDataset(detections, failures, labels.notes)


def detect_with_server(
    dataset: DetectionDataset,
    server: str,
    concurrency: int = 16,
    timeout: float | None = 60.0,
    model: str | None = None,
    options: DetectionOptions = NO_OPTIONS,
    tiling: Tiling | None = None,
) -> DetectedDataset:
    """Ask a running server about every image, as any client would.

    Args:
        model: the one to ask where the server has several.
        options: what is wanted of the detections otherwise than the model was built.
        tiling: ask about tiles of each image, too.

    Raises:
        ServerUnavailableError: it cannot be reached.
        InvalidOptionsError: the options make no sense to the model, or it is too old for them.
        EvaluationError: what it detects and the data have no label in common, or it answered for no image.
    """
    answers: list[Detections | None] = []
    failures = dict[int, str]()
    boxes, names = 0, dict[str, None]()
    with VFNetClient(server, concurrency, timeout, model=model) as client:
        images = (image.path for image in dataset.images)
        outcomes = client.detect_many(images, **asdict(options), tiling=tiling)
        for outcome in with_progress(outcomes, len(dataset.images), "detecting"):
            answers.append(_answer(outcome, failures))
            if outcome.detections is not None:
                unchecked = boxes < _ENOUGH_BOXES
                boxes += len(outcome.detections.boxes)
                names |= dict.fromkeys(box.label for box in outcome.detections.boxes)
                if unchecked and boxes >= _ENOUGH_BOXES:
                    reconcile(
                        list(names), dataset.classes, all_known=False
                    )  # rather now than after thousands of images
        training = served_note_on_training(client, tiling)
    _check_any(dataset, failures)
    found = as_detected(dataset, answers, sorted(names), failures)
    return found if training is None else replace(found, notes=(*found.notes, training))


def as_detected(
    dataset: DetectionDataset,
    answers: Sequence[Detections | None],
    names: Sequence[str],
    failures: Mapping[int, str],
    *,
    all_known: bool = False,
) -> DetectedDataset:
    """Answers as a client gets them, with the data's labels and in pixels.

    Args:
        answers: for each image of the data set; None where it failed.
        names: labels in the answers, or those that a detector has at all (`all_known`).

    Raises:
        EvaluationError: none of them is a label of the data.
    """
    if not names:
        return DetectedDataset(
            [ImageDetections.none() for _ in answers], dict(failures), ("the server detected nothing",)
        )
    labels = reconcile(names, dataset.classes, all_known=all_known, annotated=dataset.annotated_classes)
    detections = [
        _in_pixels(answer, image, labels.index_of) for answer, image in zip(answers, dataset.images, strict=True)
    ]
    return DetectedDataset(detections, dict(failures), labels.notes)


def _answer(outcome: ImageResult, failures: dict[int, str]) -> Detections | None:
    """The detections; None where the image failed, with the reason in `failures`."""
    if isinstance(outcome.error, ServerUnavailableError | InvalidOptionsError):
        raise outcome.error
    if outcome.detections is None:
        failures[outcome.position] = str(outcome.error)
    return outcome.detections


def _in_pixels(answer: Detections | None, image: AnnotatedImage, index_of: Mapping[str, int]) -> ImageDetections:
    boxes = [box for box in answer.boxes if box.label in index_of] if answer is not None else []
    return ImageDetections(
        boxes=np.array([box.in_pixels(image.width, image.height) for box in boxes], np.float64).reshape(-1, 4),
        scores=np.array([box.score for box in boxes], np.float64),
        labels=np.array([index_of[box.label] for box in boxes], np.int64),
    )


def _relabelled(found: ImageDetections, to_data: npt.NDArray[np.int64]) -> ImageDetections:
    """With the data's labels; what they do not have is left out."""
    labels = to_data[found.labels]
    kept = labels >= 0
    return ImageDetections(found.boxes[kept], found.scores[kept], labels[kept])


def _check_any(dataset: DetectionDataset, failures: Mapping[int, str]) -> None:
    if len(failures) == len(dataset.images):
        first = dataset.images[0].path
        raise EvaluationError(f"not one of {len(failures)} images could be detected in; {first}: {failures[0]}")
