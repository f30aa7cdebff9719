"""Everything that is checked and built before the first step: data, checkpoint, network."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vfnet_data.dataset import AnnotatedImage, DatasetError, DetectionDataset
from vfnet_data.tiled_images import tile_images
from vfnet_model.checkpoints.loading import Checkpoint
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_tiling.tiling import Tiling, TilingError
from vfnet_train.data import SMALLEST_SIDE, TrainingImages, read_sources, trainable_images
from vfnet_train.errors import FinetuneError
from vfnet_train.settings import FinetuneSettings, choose_test_scale, identity

CLASSIFIER = "bbox_head.vfnet_cls."
PRIOR_PROBABILITY = 0.01
"""Of an object at a location, which the new classifier starts from: mmdet's `bias_prob`."""


@dataclass(frozen=True)
class Preparation:
    """What the loop starts from."""

    config: VFNetConfig
    network: VFNet
    """With the initial weights, on the CPU."""
    checkpoint: Checkpoint
    training: tuple[AnnotatedImage, ...]
    validation: DetectionDataset | None
    identity: dict[str, str]
    """What makes this training this one: settings, data and initial weights, as text by name."""
    notes: tuple[str, ...]
    """What a person should know before it starts."""


def prepare(settings: FinetuneSettings) -> Preparation:
    """Read and check data and checkpoint, and build the network.

    Raises:
        DatasetError: with every problem of the data, training and validation together.
        CheckpointError: the checkpoint cannot be used.
        FinetuneError: they do not go together.
    """
    checkpoint = open_checkpoint(settings.init, architecture=settings.architecture, classes=settings.init_classes)
    if not checkpoint.config.head.use_atss:
        raise FinetuneError(f"{checkpoint.path} is a VFNet with use_atss=False, which cannot be trained here")
    training, validation = _read_data(settings, checkpoint.config.classes)
    chosen = trainable_images(training, settings.keep_empty_images)
    _check_trainable(settings, training, chosen)
    if settings.tiling is not None:
        chosen = _tiled(chosen, settings.tiling, settings.keep_empty_images)
    config = _configure(checkpoint.config, training.classes, settings)
    network, notes = _build(checkpoint, config, settings.seed)
    notes = [*training.notes, *(validation.notes if validation is not None else ()), *chosen.notes, *notes]
    notes += _classes_without_boxes(training.classes, chosen)
    digests = {
        "data": _digest(training.images),
        "validation data": _digest(validation.images) if validation is not None else "none",
        "classes": repr(training.classes),
        "initial weights": checkpoint.sha256,
    }
    return Preparation(
        config, network, checkpoint, chosen.images, validation, identity(settings) | digests, tuple(notes)
    )


def _tiled(chosen: TrainingImages, tiling: Tiling, keep_empty: bool) -> TrainingImages:
    """The same with tiles of each image. Raises FinetuneError: an image cannot be tiled."""
    try:
        tiled = tile_images(chosen.images, tiling, smallest_side=SMALLEST_SIDE, keep_empty=keep_empty)
    except TilingError as error:
        raise FinetuneError(str(error)) from error
    if not tiled.tiles:
        raise FinetuneError(f"{tiling}: no image is large enough for such tiles, or no box reaches into one")
    left_out = f", {tiled.empty:,} more have no box and are left out" if tiled.empty else ""
    note = f"{len(chosen.images):,} images are trained on with {tiled.tiles:,} tiles of them ({tiling}){left_out}"
    return TrainingImages(tiled.images, (*chosen.notes, note))


def _check_trainable(settings: FinetuneSettings, training: DetectionDataset, chosen: TrainingImages) -> None:
    """Raises DatasetError where there is nothing to learn from."""
    if not training.classes:
        raise DatasetError(settings.data[0], ["no box names a class, so there is nothing to learn: annotate some"])
    if not chosen.images:
        raise DatasetError(settings.data[0], ["no image has a box to train on", *chosen.notes])
    if not any(len(image.labels) for image in chosen.images):
        raise DatasetError(settings.data[0], ["not one box is a training target", *chosen.notes])


def _classes_without_boxes(classes: Sequence[str], chosen: TrainingImages) -> list[str]:
    seen = {label for image in chosen.images for label in image.labels.tolist()}
    missing = [name for index, name in enumerate(classes) if index not in seen]
    return [f"no box is of {_some(missing)}, which cannot be learned"] if missing else []


def _read_data(settings: FinetuneSettings, known: tuple[str, ...]) -> tuple[DetectionDataset, DetectionDataset | None]:
    """Training and validation data over the same classes."""
    problems, can_skip = list[str](), True
    training = validation = None
    classes = settings.classes
    try:
        training = _read_sources(settings, settings.data, settings.images, classes)
        if classes is None and set(training.classes) == set(known) and training.classes != known:
            # The checkpoint's order keeps its classifier.
            training = _read_sources(settings, settings.data, settings.images, known)
        classes = training.classes
    except DatasetError as error:
        problems.extend(error.problems)
        can_skip = error.can_skip
    if settings.validation:
        try:
            folders = settings.validation_images or (settings.images if len(settings.images) == 1 else ())
            validation = _read_sources(settings, settings.validation, folders, classes)
        except DatasetError as error:
            problems.extend(f"validation: {problem}" for problem in error.problems)
            can_skip = can_skip and error.can_skip
    if problems:
        raise DatasetError(settings.data[0], problems, can_skip=can_skip)
    assert training is not None
    return training, validation


def _read_sources(
    settings: FinetuneSettings, sources: Sequence[Path], images: Sequence[Path], classes: Sequence[str] | None
) -> DetectionDataset:
    return read_sources(sources, images, classes, skip_invalid=settings.skip_invalid, box_layout=settings.boxes)


def _configure(config: VFNetConfig, classes: tuple[str, ...], settings: FinetuneSettings) -> VFNetConfig:
    frozen_stages = settings.frozen_stages
    return replace(
        config,
        classes=classes,
        head=replace(config.head, num_classes=len(classes)),
        backbone=config.backbone if frozen_stages is None else replace(config.backbone, frozen_stages=frozen_stages),
        preprocess=replace(config.preprocess, img_scale=choose_test_scale(settings, config.preprocess.img_scale)),
    )


def _build(checkpoint: Checkpoint, config: VFNetConfig, seed: int) -> tuple[VFNet, list[str]]:
    """The network with the checkpoint's weights, and what to say of them. A new classifier where classes differ."""
    network = VFNet(config)
    state_dict, notes = checkpoint.state_dict, []
    if config.classes != checkpoint.config.classes:
        fresh = _fresh_classifier(network.bbox_head.vfnet_cls, seed)
        state_dict = {**state_dict, **fresh}
        notes.append(
            f"the classes are {_some(config.classes)} instead of {_some(checkpoint.config.classes)}: the classifying "
            f"layer ({CLASSIFIER.rstrip('.')}) starts anew, all other weights are the checkpoint's"
        )
    network.load_state_dict(state_dict, strict=True)
    return network, notes


def _fresh_classifier(classifier: nn.Conv2d, seed: int) -> dict[str, Tensor]:
    """mmdet's initialisation of `vfnet_cls`: normal 0.01, and a bias of the prior."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{CLASSIFIER}weight": torch.normal(0.0, 0.01, classifier.weight.shape, generator=generator),
        f"{CLASSIFIER}bias": torch.full((classifier.out_channels,), -math.log(1 / PRIOR_PROBABILITY - 1)),
    }


def _digest(images: Sequence[AnnotatedImage]) -> str:
    """Over file names, sizes and annotations; the same wherever the folder is."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path.name} {image.width} {image.height}\0".encode())
        codes = () if image.untrained is None else (image.untrained,)
        for array in (image.boxes, image.labels, image.crowd, *codes):
            digest.update(array.tobytes() + b"\0")
    return digest.hexdigest()


def _some(names: Sequence[str], shown: int = 6) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
