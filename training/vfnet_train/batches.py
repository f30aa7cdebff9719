"""Batches whose order and content are functions of (seed, epoch) alone: a resumed training sees the same ones."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vfnet_data.dataset import AnnotatedImage
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_train.augmentation import TrainingSample, augment
from vfnet_train.interruption import SIGNALS
from vfnet_train.precision import MEMORY_FORMAT
from vfnet_train.settings import AugmentationSettings

_AUGMENTATION, _ORDER = 0, 1  # streams of random numbers


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """What the network and the losses take."""

    images: Tensor
    """float32 [N, 3, H, W], normalised, each padded with zeros to the largest of the batch."""
    gt_boxes: list[Tensor]
    """float32 [n_i, 4] x1 y1 x2 y2 in resized pixels."""
    gt_labels: list[Tensor]
    """int64 [n_i]."""
    pad_shapes: list[tuple[int, int]]
    """Height and width of each image padded on its own to a multiple of the size divisor: mmdet's `pad_shape`."""

    def pin_memory(self) -> TrainingBatch:
        """For DataLoader's thread of that name: copies to the GPU may then overlap with computing."""
        return TrainingBatch(self.images.pin_memory(), self.gt_boxes, self.gt_labels, self.pad_shapes)

    def to(self, device: torch.device) -> TrainingBatch:
        """The batch on a device."""
        return TrainingBatch(
            self.images.to(device, memory_format=MEMORY_FORMAT, non_blocking=True),
            [boxes.to(device) for boxes in self.gt_boxes],
            [labels.to(device) for labels in self.gt_labels],
            self.pad_shapes,
        )


class AugmentedImages(Dataset[TrainingSample]):
    """Indexed by (epoch, index of the image)."""

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        settings: AugmentationSettings,
        preprocess: PreprocessConfig,
        seed: int,
    ) -> None:
        self.images = images
        self.settings, self.preprocess, self.seed = settings, preprocess, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> TrainingSample:
        epoch, index = key
        random = np.random.default_rng((self.seed, _AUGMENTATION, epoch, index))
        return augment(self.images[index], self.settings, self.preprocess, random)


@dataclass(frozen=True)
class BatchOrder:
    """Which images form each batch of an epoch, as mmdet's (Distributed)GroupSampler: lying and standing images apart.

    The batches are those of one process with `batch_size * world_size` images each; each of several processes takes
    its part of every batch.
    """

    images: Sequence[AnnotatedImage]
    batch_size: int
    """Images of a batch in each process."""
    seed: int
    rank: int = 0
    world_size: int = 1
    batches_per_step: int = 1
    """Their gradients are added up; an epoch's last step may have fewer."""

    @property
    def steps_per_epoch(self) -> int:
        """The same in every epoch."""
        step_size = self.batch_size * self.world_size
        batches = sum(-(-len(group) // step_size) for group in self._groups())
        return -(-batches // self.batches_per_step)

    def batches(self, epoch: int) -> list[list[int]]:
        """This process's indices of images, batch by batch. A group that does not fill its last batch repeats some."""
        random = np.random.default_rng((self.seed, _ORDER, epoch))
        step_size = self.batch_size * self.world_size
        batches: list[list[int]] = []
        for group in self._groups():
            order = random.permutation(group)
            missing = -len(order) % step_size
            order = np.concatenate([order, np.resize(random.permutation(group), missing)])
            batches.extend(order.reshape(-1, step_size).tolist())
        mixed = [batches[position] for position in random.permutation(len(batches))]
        return [batch[self.rank * self.batch_size : (self.rank + 1) * self.batch_size] for batch in mixed]

    def _groups(self) -> list[list[int]]:
        lying = [image.width > image.height for image in self.images]
        groups = [[index for index, lies in enumerate(lying) if lies is kind] for kind in (False, True)]
        return [group for group in groups if group]


def collate(samples: list[TrainingSample], size_divisor: int) -> TrainingBatch:
    """Pad the images at the bottom and the right, and stack them."""

    def padded(side: int) -> int:
        return -(-side // size_divisor) * size_divisor

    pad_shapes = [(padded(sample.pixels.shape[0]), padded(sample.pixels.shape[1])) for sample in samples]
    height, width = (max(sides) for sides in zip(*pad_shapes, strict=True))
    images = torch.zeros(len(samples), 3, height, width)
    for image, sample in zip(images, samples, strict=True):
        valid_height, valid_width = sample.pixels.shape[:2]
        image[:, :valid_height, :valid_width] = torch.from_numpy(sample.pixels).permute(2, 0, 1)
    return TrainingBatch(
        images,
        [torch.from_numpy(sample.boxes) for sample in samples],
        [torch.from_numpy(sample.labels) for sample in samples],
        pad_shapes,
    )


@dataclass(frozen=True)
class _Collate:
    """`collate` with its divisor; a class, because workers that are spawned pickle it."""

    size_divisor: int

    def __call__(self, samples: list[TrainingSample]) -> TrainingBatch:
        return collate(samples, self.size_divisor)


class Batches:
    """Loads an epoch's batches, from any step on, with worker processes that outlive the epoch."""

    def __init__(self, dataset: AugmentedImages, order: BatchOrder, workers: int, pin_memory: bool) -> None:
        self.order = order
        self._plan: list[list[tuple[int, int]]] = []
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._plan,
            num_workers=workers,
            collate_fn=_Collate(dataset.preprocess.size_divisor),
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=_prepare_worker,
            # Not forked from this process: its threads may hold locks at that moment, and CUDA does not survive it.
            multiprocessing_context="forkserver" if workers else None,
            # Not the global generator: reading data must not move the training's own random numbers.
            generator=torch.Generator().manual_seed(0),
        )

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[list[TrainingBatch]]:
        """The batches of each of the epoch's steps, from `first_step` on."""
        together = self.order.batches_per_step
        batches = self.order.batches(epoch)[first_step * together :]
        self._plan[:] = [[(epoch, index) for index in batch] for batch in batches]
        loaded = iter(self._loader)
        while step := list(itertools.islice(loaded, together)):
            yield step


def _prepare_worker(_: int) -> None:
    for number in SIGNALS:  # for the training, which still needs its workers then
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
