"""The batch size where the machine is to find it, and the learning rate that goes with it.

On a GPU a batch grows until memory ends, as Lightning's `BatchSizeFinder` and Ultralytics' `autobatch` let it. A CPU
gains little by large batches and has memory for all of them: there a batch grows while images a second do.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfnet_client.atomic_files import write_inside
from vfnet_client.bounded_files import read_text
from vfnet_data.dataset import AnnotatedImage
from vfnet_model.free_memory import free_memory
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_runtime.resizing import resized_size
from vfnet_train.batches import TrainingBatch
from vfnet_train.errors import FinetuneError
from vfnet_train.losses import VFNetLoss
from vfnet_train.moving_average import MovingAverage
from vfnet_train.optimisation import make_optimizer
from vfnet_train.precision import MEMORY_FORMAT, gradient_scaler, keep_in_float32
from vfnet_train.preparation import Preparation
from vfnet_train.process_memory import forget_peak, resident_bytes
from vfnet_train.processes import Processes
from vfnet_train.settings import FinetuneSettings, Scale
from vfnet_train.steps import Stepper
from vfnet_train.trainable_parts import freeze, train_mode

BATCH_SIZE_FILE = "batch_size.json"
USUAL_BATCH = 4
"""Images a step that --learning-rate is meant for with --batch-size auto: the batch size that is the default."""
_SHARE_OF_FITTING = 0.9
"""Of the largest batch that fits on a GPU. The rest is for images with more boxes, and for what fragments."""
_SHARE_OF_FREE = 0.8
"""Of a CPU's free memory, for all processes together. The rest is for those that read images."""
_WORTHWHILE = 1.05
"""So many times faster has a doubled batch to be on a CPU."""
_LEAST_STEPS = 8
"""Of an epoch: a batch may be so large that few images are learned from in too few steps."""
_MOST_KEPT = 1 << 20
"""Bytes of `BATCH_SIZE_FILE`."""


@dataclass(frozen=True)
class Tried:
    """A training step with a batch of this size."""

    batch_size: int
    images_per_second: float | None = None
    """None on a GPU, where it is not asked."""
    peak_bytes: int | None = None
    """Memory it took beyond what was taken before; None where that is not known."""


def with_batch_size(
    settings: FinetuneSettings, preparation: Preparation, processes: Processes, say: Callable[[str], None]
) -> FinetuneSettings:
    """The settings with a number in the place of `auto`, and with the learning rate for so many images a step.

    A size that was found is kept in the folder, so that a training goes on with it wherever it is resumed. All
    processes get the same.

    Args:
        say: is told what was found, in the main process.

    Raises:
        FinetuneError: not even one image fits, or the folder's file cannot be read.
    """
    batch_size, tried = settings.batch_size, list[Tried]()
    if batch_size is None:
        kept = max(processes.gather(_read(settings.output) if processes.is_main else 0))
        if not kept:
            kept, tried = _measure(settings, preparation, processes)
            kept = min(processes.gather(kept))
        batch_size = kept
    images = batch_size * settings.gradient_accumulation * processes.world_size
    base = settings.base_batch_size or (USUAL_BATCH if settings.batch_size is None else None)
    given = settings.optimizer.learning_rate
    rate = given if base is None else given * images / base
    if processes.is_main and settings.batch_size is None:
        if tried:
            found = {"batch_size": batch_size, "images_a_step": images, "learning_rate": rate}
            document = found | {"tried": [asdict(each) for each in tried]}
            write_inside(settings.output / BATCH_SIZE_FILE, json.dumps(document, indent=2).encode() + b"\n")
        say(f"batch size {batch_size}, {_described(tried) if tried else 'as found when this training began'}")
    if processes.is_main and base is not None:
        say(f"learning rate {rate:.4g} for {images} images a step; {given:.4g} is for {base} (the linear rule)")
    return replace(settings, batch_size=batch_size, optimizer=replace(settings.optimizer, learning_rate=rate))


def largest_that_fits(attempt: Callable[[int], object], most: int) -> int:
    """The largest batch, up to `most`, that an attempt does not run out of memory with: doubled, then halved between.

    Raises:
        FinetuneError: one image is too much.
    """
    fits, fails = 0, most + 1
    size = 1
    while size < fails:
        if _fits(attempt, size):
            fits = size
            size = min(2 * size, most) if size < most else fails
        else:
            fails = size
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if _fits(attempt, middle):
            fits = middle
        else:
            fails = middle
    if not fits:
        raise FinetuneError(
            "one image at the training's largest scale does not fit into memory: choose a smaller --scale, or freeze "
            "more (--frozen-stages)"
        )
    return fits


def grow_while_faster(attempt: Callable[[int], Tried], most: int, free: float) -> tuple[int, list[Tried]]:
    """Double the batch while that makes images come faster and memory is likely to suffice.

    Args:
        free: bytes a batch may take. What the next one would take is reckoned by the growth so far.

    Returns:
        The smallest batch within a twentieth of the fastest; and what was tried.

    Raises:
        FinetuneError: one image is too much.
    """
    tried: list[Tried] = []
    size = 1
    while size <= most:
        if tried and tried[-1].peak_bytes is not None and 2 * tried[-1].peak_bytes > free:
            break
        try:
            found = attempt(size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        tried.append(found)
        if size > 1 and (found.images_per_second or 0) < _WORTHWHILE * (tried[-2].images_per_second or 0):
            break
        size *= 2
    if not tried:
        raise FinetuneError("one image at the training's largest scale does not fit into memory: choose a --scale")
    best = max(each.images_per_second or 0 for each in tried)
    chosen = next(each for each in tried if (each.images_per_second or 0) * _WORTHWHILE >= best)
    return chosen.batch_size, tried


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch had no memory left, in any of the ways in which it says so."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in said
        for words in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC")
    )


def largest_canvas(images: Sequence[AnnotatedImage], scale: Scale, preprocess: PreprocessConfig) -> tuple[int, int]:
    """Height and width of the largest canvas that a batch of these images may have at a scale."""

    def padded(side: int) -> int:
        return -(-side // preprocess.size_divisor) * preprocess.size_divisor

    canvases = []
    for lies in (False, True):  # as `BatchOrder` keeps them apart
        sizes = [
            resized_size(image.width, image.height, scale) for image in images if (image.width > image.height) is lies
        ]
        if sizes:
            canvases.append((padded(max(height for _, height in sizes)), padded(max(width for width, _ in sizes))))
    return max(canvases, key=lambda canvas: canvas[0] * canvas[1])


def _measure(settings: FinetuneSettings, preparation: Preparation, processes: Processes) -> tuple[int, list[Tried]]:
    lying = sum(image.width > image.height for image in preparation.training)
    images_a_batch = settings.gradient_accumulation * processes.world_size
    most = max(1, max(lying, len(preparation.training) - lying) // (_LEAST_STEPS * images_a_batch))
    steps = _Steps(settings, preparation, processes.device)
    try:
        if processes.device.type == "cuda":
            fits = largest_that_fits(steps.take, most)
            chosen = max(1, int(fits * _SHARE_OF_FITTING))
            return chosen, [Tried(fits)]
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes.world_size))
        return grow_while_faster(steps.timed, most, _SHARE_OF_FREE * free_memory() / here)
    finally:
        del steps
        if processes.device.type == "cuda":
            torch.cuda.empty_cache()


class _Steps:
    """Training steps of a copy of the network, which teach it nothing, on made-up images of the largest canvas."""

    def __init__(self, settings: FinetuneSettings, preparation: Preparation, device: torch.device) -> None:
        network = copy.deepcopy(preparation.network).to(device)
        network = network.to(memory_format=MEMORY_FORMAT)  # type: ignore[call-overload]
        backbone = network.config.backbone
        freeze(network, backbone.frozen_stages)
        keep_in_float32(network)
        train_mode(network, backbone.frozen_stages, backbone.norm_eval)
        self._average = None if settings.ema_decay is None else MovingAverage(network, settings.ema_decay)
        # Its memory is that of the training's, but nothing is learned.
        optimizer = make_optimizer(network, replace(settings.optimizer, learning_rate=0.0))
        self._stepper = Stepper(
            network,
            VFNetLoss(network.config.head),
            optimizer,
            Processes(0, 1, device),
            precision=settings.precision,
            max_gradient_norm=settings.optimizer.max_gradient_norm,
            scaler=gradient_scaler(settings.precision, device),
        )
        preprocess = preparation.checkpoint.config.preprocess
        scales = settings.augmentation.scales or (preprocess.img_scale,)
        largest = (max(map(max, scales)), max(map(min, scales)))
        self._canvas = largest_canvas(preparation.training, largest, preprocess)
        image = max(preparation.training, key=lambda each: len(each.labels))
        self._boxes = _scaled_boxes(image, self._canvas)
        self._labels = torch.from_numpy(image.labels[~image.crowd])
        self._before = resident_bytes("VmRSS")

    def take(self, batch_size: int) -> None:
        """Two steps: the optimiser's own memory is there in the second."""
        batch = self._batch(batch_size)
        for _ in range(2):
            self._stepper.step([batch], stop=False)

    def timed(self, batch_size: int) -> Tried:
        """The faster of two steps: the first finds its memory and its kernels."""
        batch, seconds = self._batch(batch_size), []
        forget_peak()
        for _ in range(2):
            began = time.perf_counter()
            self._stepper.step([batch], stop=False)
            seconds.append(time.perf_counter() - began)
        peak = resident_bytes("VmHWM")
        taken = None if peak is None or self._before is None else max(0, peak - self._before)
        return Tried(batch_size, float(f"{batch_size / min(seconds):.4g}"), taken)

    def _batch(self, batch_size: int) -> TrainingBatch:
        images = torch.randn(batch_size, 3, *self._canvas, generator=torch.Generator().manual_seed(0))
        many = range(batch_size)
        return TrainingBatch(
            images.contiguous(memory_format=MEMORY_FORMAT),
            [self._boxes for _ in many],
            [self._labels for _ in many],
            [self._canvas for _ in many],
        )


def _scaled_boxes(image: AnnotatedImage, canvas: tuple[int, int]) -> Tensor:
    """float32 [n, 4] x1 y1 x2 y2 in pixels of the canvas (height, width)."""
    height, width = canvas
    factors = np.array([width / image.width, height / image.height] * 2, np.float32)
    return torch.from_numpy(image.boxes[~image.crowd].astype(np.float32) * factors)


def _fits(attempt: Callable[[int], object], batch_size: int) -> bool:
    try:
        attempt(batch_size)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    else:
        fits = True
    if not fits and torch.cuda.is_available():  # not where the error, and what it holds, still lives
        torch.cuda.empty_cache()
    return fits


def _read(folder: Path) -> int:
    """What was found before; 0: nothing."""
    path = folder / BATCH_SIZE_FILE
    if not path.exists():
        return 0
    try:
        found = json.loads(read_text(path, _MOST_KEPT))["batch_size"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int) or found < 1:
        raise FinetuneError(f"{path} cannot be read; choose another --output")
    return found


def _described(tried: Sequence[Tried]) -> str:
    if tried[0].images_per_second is None:
        return f"as {tried[0].batch_size} images at the largest scale fit into the GPU's memory"
    speeds = ", ".join(f"{each.batch_size}: {each.images_per_second:.3g}" for each in tried)
    return f"by images a second at the largest scale ({speeds})"
