"""Reads what a training is given: several sources as one data set, all their problems together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vfnet_data.dataset import AnnotatedImage, DatasetError, DetectionDataset
from vfnet_data.problems import Problems
from vfnet_data.reading import read_dataset


def read_sources(
    sources: Sequence[Path], images: Sequence[Path], classes: Sequence[str] | None = None
) -> DetectionDataset:
    """Read and check every source before anything is computed.

    Args:
        sources: see `read_dataset`.
        images: the folder of each source's images, or one for all, or none.
        classes: names in label order; None: those of the sources, in the order they first name them.

    Raises:
        DatasetError: with the problems of all sources.
    """
    if len(images) > 1 and len(images) != len(sources):
        raise DatasetError(sources[0], [f"{len(images)} folders of images for {len(sources)} sources: give one each"])
    folders = [images[index] if len(images) > 1 else next(iter(images), None) for index in range(len(sources))]
    datasets: list[DetectionDataset] = []
    problems = Problems()
    for source, folder in zip(sources, folders, strict=True):
        try:
            datasets.append(read_dataset(source, folder, classes))
        except DatasetError as error:
            problems.extend(f"{source}: {problem}" if len(sources) > 1 else problem for problem in error.problems)
    if problems:
        raise DatasetError(Path(", ".join(map(str, sources))), problems)
    return datasets[0] if len(datasets) == 1 else _join(datasets)


def trainable_images(dataset: DetectionDataset, keep_empty: bool) -> tuple[AnnotatedImage, ...]:
    """The images to train on: as mmdet, only those with a box that is no crowd, unless empty ones are kept."""
    return tuple(image for image in dataset.images if keep_empty or not image.crowd.all())


def _join(datasets: Sequence[DetectionDataset]) -> DetectionDataset:
    """One data set over the names of all; image ids are numbered anew."""
    classes = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.classes))
    positions = {name: position for position, name in enumerate(classes)}
    images: list[AnnotatedImage] = []
    for dataset in datasets:
        labels = np.array([positions[name] for name in dataset.classes], np.int64)
        for image in dataset.images:
            images.append(replace(image, image_id=len(images) + 1, labels=labels[image.labels]))
    return DetectionDataset(classes, tuple(images))
