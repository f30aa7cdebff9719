"""Batches are functions of (seed, epoch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vfnet_data.dataset import AnnotatedImage
from vfnet_data.reading import read_dataset
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_train.augmentation import TrainingSample
from vfnet_train.batches import AugmentedImages, Batches, BatchOrder, collate
from vfnet_train.settings import AugmentationSettings

NOTHING = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def images(lying: int, standing: int) -> list[AnnotatedImage]:
    sizes = [(80, 60)] * lying + [(60, 80)] * standing
    return [AnnotatedImage(Path(), index, *size, *NOTHING) for index, size in enumerate(sizes)]


def test_every_image_is_seen_every_epoch_in_another_order() -> None:
    order = BatchOrder(images(8, 4), 4, seed=1)
    epochs = [order.batches(epoch) for epoch in range(2)]
    for epoch in epochs:
        assert sorted(index for batch in epoch for index in batch) == list(range(12))
        assert len(epoch) == order.steps_per_epoch == 3
    assert epochs[0] != epochs[1]
    assert epochs[0] == BatchOrder(images(8, 4), 4, seed=1).batches(0)
    assert epochs[0] != BatchOrder(images(8, 4), 4, seed=2).batches(0)


def test_lying_and_standing_images_are_never_in_one_batch() -> None:
    for batch in BatchOrder(images(5, 6), 4, seed=0).batches(3):
        assert len(batch) == 4
        assert len({index < 5 for index in batch}) == 1


def test_processes_share_out_the_batches_of_one_process() -> None:
    whole = BatchOrder(images(8, 8), 4, seed=0).batches(0)
    parts = [BatchOrder(images(8, 8), 2, 0, rank, 2).batches(0) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


def test_a_few_images_fill_a_large_batch() -> None:
    order = BatchOrder(images(3, 0), 8, seed=0)
    (batch,) = order.batches(0)
    assert len(batch) == 8
    assert set(batch) == {0, 1, 2}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_be_entered_at_any_step(workers: int, scenes: Path) -> None:
    dataset = read_dataset(scenes)
    augmented = AugmentedImages(dataset.images, AugmentationSettings(), PreprocessConfig(img_scale=(96, 80)), 0)
    batches = Batches(augmented, BatchOrder(dataset.images, 2, 0), workers, pin_memory=False)
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, first_step=2))
    assert len(whole) == 4
    for (expected,), (found,) in zip(whole[2:], rest, strict=True):
        assert torch.equal(found.images, expected.images)
        assert all(torch.equal(a, b) for a, b in zip(found.gt_boxes, expected.gt_boxes, strict=True))


def test_a_step_of_several_batches_can_be_entered_too(scenes: Path) -> None:
    dataset = read_dataset(scenes)
    augmented = AugmentedImages(dataset.images, AugmentationSettings(), PreprocessConfig(img_scale=(96, 80)), 0)
    batches = Batches(augmented, BatchOrder(dataset.images, 2, 0, batches_per_step=3), 0, pin_memory=False)
    assert batches.order.steps_per_epoch == 2
    whole, (rest,) = list(batches.epoch(0)), list(batches.epoch(0, first_step=1))
    assert [len(step) for step in whole] == [3, 1]  # eight images
    assert torch.equal(rest[0].images, whole[1][0].images)


def test_images_are_padded_with_zeros_to_the_largest() -> None:
    samples = [
        TrainingSample(np.ones((height, width, 3), np.float32), NOTHING[0], NOTHING[1])
        for height, width in ((40, 30), (33, 70))
    ]
    batch = collate(samples, 32)
    assert batch.images.shape == (2, 3, 64, 96)
    assert batch.pad_shapes == [(64, 32), (64, 96)]
    assert float(batch.images[0].sum()) == 40 * 30 * 3
    assert float(batch.images[1, :, :33, :70].sum()) == 33 * 70 * 3
