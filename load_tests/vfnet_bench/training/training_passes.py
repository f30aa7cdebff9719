"""One batch, and this project's forward and backward pass of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.batches import TrainingBatch
from vfnet_train.losses import VFNetLoss
from vfnet_train.precision import MEMORY_FORMAT, autocast, keep_in_float32
from vfnet_train.trainable_parts import freeze, train_mode

_BOXES_PER_IMAGE = 4


@dataclass(frozen=True, eq=False)
class BenchmarkBatch:
    """Noise with boxes: the work does not depend on what is to be seen."""

    images: npt.NDArray[np.float32]
    """[N, 3, H, W]."""
    boxes: npt.NDArray[np.float32]
    """[n, 4] x1 y1 x2 y2 in pixels, the same in each image."""
    labels: npt.NDArray[np.int64]
    """[n]."""

    def save(self, path: Path) -> None:
        """As an .npz."""
        np.savez(path, images=self.images, boxes=self.boxes, labels=self.labels)


def make_batch(images: int, width: int, height: int, num_classes: int) -> BenchmarkBatch:
    """The same one every time."""
    random = np.random.RandomState(0)
    corners = random.uniform(0, 0.5, (_BOXES_PER_IMAGE, 2))
    sides = random.uniform(0.1, 0.5, (_BOXES_PER_IMAGE, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1) * [width, height, width, height]
    return BenchmarkBatch(
        random.standard_normal((images, 3, height, width)).astype(np.float32),
        boxes.astype(np.float32),
        np.arange(_BOXES_PER_IMAGE, dtype=np.int64) % num_classes,
    )


class TrainingPass:
    """Forward and backward in one precision, as `vfnet finetune` does it."""

    def __init__(self, network: VFNet, batch: BenchmarkBatch, precision: str, device: torch.device) -> None:
        backbone = network.config.backbone
        self._network = network.to(device).to(memory_format=MEMORY_FORMAT)  # type: ignore[call-overload]
        freeze(network, backbone.frozen_stages)
        keep_in_float32(network)
        train_mode(network, backbone.frozen_stages, backbone.norm_eval)
        self._loss_function = VFNetLoss(network.config.head)
        self._precision, self._device = precision, device
        count = len(batch.images)
        height, width = batch.images.shape[2:]
        self._batch = TrainingBatch(
            torch.from_numpy(batch.images),
            [torch.from_numpy(batch.boxes)] * count,
            [torch.from_numpy(batch.labels)] * count,
            [(height, width)] * count,
        ).to(device)
        self.loss = 0.0
        """Of the last pass."""

    def seconds(self) -> float:
        """Of one pass over the batch."""
        batch = self._batch
        self._network.zero_grad()
        self._synchronise()
        started = perf_counter()
        with autocast(self._precision, self._device):
            outputs = self._network(batch.images)
        losses = self._loss_function(outputs, batch.gt_boxes, batch.gt_labels, batch.pad_shapes)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        self._synchronise()
        seconds = perf_counter() - started
        self.loss = total.item()
        return seconds

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
