"""Reads what a training is given: several sources as one data set, all their problems together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vfnet_data.dataset import UNTRAINED, AnnotatedImage, DatasetError, DetectionDataset
from vfnet_data.problems import Problems
from vfnet_data.reading import read_dataset

SMALLEST_SIDE = 32
"""Pixels: MMDetection trains on no image that is smaller (`CocoDataset._filter_imgs`)."""


def read_sources(
    sources: Sequence[Path],
    images: Sequence[Path],
    classes: Sequence[str] | None = None,
    *,
    skip_invalid: bool | None = None,
    box_layout: str | None = None,
) -> DetectionDataset:
    """Read and check every source before anything is computed.

    Args:
        sources: see `read_dataset`.
        images: the folder of each source's images, or one for all, or none.
        classes: names in label order; None: those of the sources, in the order they first name them.
        skip_invalid: see `read_dataset`.
        box_layout: see `read_dataset`.

    Raises:
        DatasetError: with the problems of all sources.
    """
    if len(images) > 1 and len(images) != len(sources):
        raise DatasetError(sources[0], [f"{len(images)} folders of images for {len(sources)} sources: give one each"])
    folders = [images[index] if len(images) > 1 else next(iter(images), None) for index in range(len(sources))]
    datasets: list[DetectionDataset] = []
    problems, can_skip = Problems(), True
    for source, folder in zip(sources, folders, strict=True):
        try:
            found = read_dataset(source, folder, classes, skip_invalid=skip_invalid, box_layout=box_layout)
            told = tuple(f"{source}: {note}" if not note.startswith(str(source)) else note for note in found.notes)
            datasets.append(replace(found, notes=told))
        except DatasetError as error:
            problems.extend(f"{source}: {problem}" if len(sources) > 1 else problem for problem in error.problems)
            can_skip = can_skip and error.can_skip
    if problems:
        raise DatasetError(Path(", ".join(map(str, sources))), problems, can_skip=can_skip)
    return datasets[0] if len(datasets) == 1 else _join(datasets)


@dataclass(frozen=True)
class TrainingImages:
    """What is trained on, as MMDetection 2.28 chooses it."""

    images: tuple[AnnotatedImage, ...]
    notes: tuple[str, ...]
    """What is not, and why, counted."""


def trainable_images(dataset: DetectionDataset, keep_empty: bool) -> TrainingImages:
    """The images, and of their boxes the targets, that MMDetection trains on.

    Boxes that are marked `ignore`, less than a pixel wide or high, or of area 0 are no targets. Images under 32 pixels
    are left out, and so are those without any box, unless empty ones are kept. One whose boxes are crowds or no targets
    stays, as an image without objects: MMDetection counts all annotations there.
    """
    dropped: Counter[str] = Counter()
    images: list[AnnotatedImage] = []
    small = empty = 0
    for image in dataset.images:
        if min(image.width, image.height) < SMALLEST_SIDE:
            small += 1
        elif not (keep_empty or len(image.labels) or image.left_out):
            empty += 1
        else:
            images.append(_targets(image, dropped))
    total = len(dataset.images)
    notes = [
        f"{count:,} of {total:,} images {reason} and are left out, as MMDetection leaves them out"
        for count, reason in ((small, f"are under {SMALLEST_SIDE} pixels wide or high"), (empty, "have no boxes"))
        if count
    ]
    notes += [
        f"{count:,} {'box is' if count == 1 else 'boxes are'} {reason}, and no training targets, as in MMDetection"
        for reason, count in dropped.items()
    ]
    return TrainingImages(tuple(images), tuple(notes))


def _targets(image: AnnotatedImage, dropped: Counter[str]) -> AnnotatedImage:
    if image.untrained is None:
        return image
    for code in image.untrained[image.untrained > 0].tolist():
        dropped[UNTRAINED[code]] += 1
    kept = image.untrained == 0
    areas = None if image.areas is None else image.areas[kept]
    return replace(
        image,
        boxes=image.boxes[kept],
        labels=image.labels[kept],
        crowd=image.crowd[kept],
        areas=areas,
        untrained=None,
    )


def _join(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
    """One data set over the names of all; image ids are numbered anew."""
    classes = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.classes))
    positions = {name: position for position, name in enumerate(classes)}
    images: list[AnnotatedImage] = []
    for dataset in datasets:
        labels = np.array([positions[name] for name in dataset.classes], np.int64)
        for image in dataset.images:
            images.append(replace(image, image_id=len(images) + 1, labels=labels[image.labels]))
    return DetectionDataset(classes, tuple(images), notes=tuple(note for dataset in datasets for note in dataset.notes))
