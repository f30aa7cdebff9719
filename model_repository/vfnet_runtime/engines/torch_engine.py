"""The network in PyTorch: on CUDA as captured graphs over fixed canvases, on the CPU as it is."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.network_file import read_network
from vfnet_runtime.architecture.padding import MULTIPLE, default_canvases
from vfnet_runtime.canvases import OWN, Canvas, canvas_for, parse_canvases
from vfnet_runtime.engines import network_operations
from vfnet_runtime.engines.batching import Batch, plan_batches
from vfnet_runtime.engines.fused_network import fuse, input_dtype
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, KernelChoices
from vfnet_runtime.engines.kernels.deformable_tiles import FIRST_WITH_BFLOAT16
from vfnet_runtime.engines.network_operations import normalise_by_kernel, start_kernels
from vfnet_runtime.processor_cores import available_cores
from vfnet_runtime.resizing import resize_into

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Candidates = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""One image's boxes float32 [1, K, 4], scores float32 [1, K], labels int32 [1, K]."""
Timed = Callable[[int, int, int], None]
"""Is told of an image, by its position, between which nanoseconds of CLOCK_MONOTONIC it was computed."""


@dataclass(frozen=True)
class Image:
    """One image: pixels uint8 [1, H, W, 3], on its own canvas or to be resized, and valid_shape int32 [1, 2]."""

    pixels: NDArray[Any]
    valid_shape: NDArray[Any]
    is_stored: bool = False
    """Whether its pixels are those of the file, still to be resized to `valid_shape`."""

    @property
    def canvas(self) -> Canvas:
        """Its own."""
        if self.is_stored:
            height, width = self.valid_shape[0].tolist()
            return canvas_for(height, width, (), MULTIPLE)
        return self.pixels.shape[1], self.pixels.shape[2]


class Runner(Protocol):
    """Runs batches on a device, in the order in which they are started."""

    def start(self, batch: Batch, images: Sequence[Image]) -> Any:
        """Begin `batch`, whose images are `images`; returns a ticket."""

    def finish(self, ticket: Any) -> list[Candidates]:
        """Wait for a batch; the candidates of its images."""


class TorchEngine:
    """A network on one device."""

    def __init__(
        self,
        network_path: Path,
        device: str = "cpu",
        precision: str = "f32",
        canvases: str = "auto",
        batch_sizes: tuple[int, ...] = (1, 2, 4, 8),
        *,
        all_sizes: bool = False,
        choices: KernelChoices = DEFAULT_CHOICES,
    ) -> None:
        """Load; on CUDA also compile and capture.

        Args:
            network_path: written by `vfnet build`.
            device: `cpu` or `cuda:N`.
            precision: `f32`, `bf16` or `fp16`; see `fuse` for what stays in float32.
            canvases: see `parse_canvases`; `auto`: each image's own on the CPU, `default_canvases` on CUDA.
            batch_sizes: how many images the network is run with at once, rising from 1; used with canvases only.
            all_sizes: on CUDA, fail where memory does not hold all of them, instead of leaving the largest out.
            choices: how the network is computed.
        """
        network = read_network(network_path)
        largest = network.config.preprocess.img_scale
        self.device, self.batch_sizes = torch.device(device), batch_sizes
        self.warnings: list[str] = []
        """What whoever looks after the server should know, each in a sentence."""
        on_cuda = self.device.type == "cuda"
        if on_cuda:
            torch.cuda.set_device(self.device)  # kernels in Triton's language are launched on the current one
        if on_cuda and (refusal := why_not(precision, torch.cuda.get_device_capability(self.device))):
            self.warnings.append(f"{refusal}; f32 is computed instead, build with --precision fp16 for more speed")
            precision = "f32"
        if on_cuda and (reason := start_kernels(self.device)):
            self.warnings.append(f"{reason}. PyTorch's own operators serve meanwhile, more slowly")
        if canvases == "auto":
            self.canvases = parse_canvases(default_canvases(largest) if on_cuda else OWN)
        else:
            self.canvases = parse_canvases(canvases)
        network.to(self.device)  # where filters are folded and rounded in no time
        has_kernels = network_operations.HAS_KERNELS and on_cuda
        areas = fuse(network, DTYPES[precision], for_kernels=has_kernels, choices=choices)
        if choices.overlap_levels and on_cuda:
            network.bbox_head.side_stream = torch.cuda.Stream(self.device)  # type: ignore[assignment]
        detector = Detector(network, areas).eval().to(self.device)
        if has_kernels:
            normalise_by_kernel(detector.dense, input_dtype(network.backbone, DTYPES[precision]))
        self.runner: Runner
        if on_cuda:
            from vfnet_runtime.engines.cuda_runner import CudaRunner  # it asks for a CUDA device when it is imported

            # In f32 the CPU's answer is wanted; TF32 would round to 10 bits what is multiplied.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "f32"
            # cuBLAS may else add parts of long sums up in half precision.
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
            if not self.canvases:
                raise ValueError("on CUDA the canvases are fixed, not x32")
            runner = CudaRunner(detector, self.device, self.canvases, batch_sizes, all_sizes=all_sizes)
            self.runner, self.batch_sizes = runner, runner.batch_sizes
            if self.batch_sizes != batch_sizes:
                self.warnings.append(said_of_memory(self.batch_sizes, batch_sizes, *torch.cuda.mem_get_info(device)))
            where = torch.cuda.get_device_name(self.device)
        else:
            torch.set_num_threads(available_cores())
            self.runner = CpuRunner(detector)
            where = f"CPU, {torch.get_num_threads()} thread(s)"
        self.description = f"PyTorch {torch.__version__} {precision} on {where}"

    def detect(
        self, images: Sequence[Image], timed: Timed = lambda *_: None
    ) -> Iterator[tuple[int, Candidates | Exception]]:
        """Positions in `images` with their candidates or what went wrong, as they are done.

        A batch is started before the one before it is waited for: on CUDA, one is uploaded while one computes. Images
        that fail together are tried again alone, so that one that cannot be computed takes no other along.

        Args:
            timed: is told of each image before it is handed over.
        """
        failed = list[int]()
        for batch, found in self._run(images, range(len(images)), timed):
            if isinstance(found, Exception) and len(batch) > 1:
                failed += batch
            else:
                yield from _each(batch, found)
        for position in failed:
            for batch, found in self._run(images, [position], timed):
                yield from _each(batch, found)

    def _run(
        self, images: Sequence[Image], chosen: Sequence[int], timed: Timed
    ) -> Iterator[tuple[list[int], list[Candidates] | Exception]]:
        """Positions in `images` that were computed together, and what came of it; of the `chosen` ones."""
        shapes = [images[position].canvas for position in chosen]
        started: tuple[Batch, Any, int] | None = None
        free = 0  # when the device had nothing more to do
        for batch in (*plan_batches(shapes, self.canvases, self.batch_sizes), None):
            before = started
            now = monotonic_ns()
            if batch is not None:
                started = (batch, _try(self.runner.start, batch, [images[chosen[i]] for i in batch.images]), now)
            if before is not None:
                done, ticket, begun = before
                found = ticket if isinstance(ticket, Exception) else _try(self.runner.finish, ticket)
                begun, free = max(begun, free), monotonic_ns()
                for i in done.images:
                    timed(chosen[i], begun, free)
                yield [chosen[i] for i in done.images], found


def _each(batch: Sequence[int], found: list[Candidates] | Exception) -> Iterator[tuple[int, Candidates | Exception]]:
    for place, position in enumerate(batch):
        yield position, found if isinstance(found, Exception) else found[place]


def _try(work: Any, *arguments: Any) -> Any:
    """What `work` returns, or what it raises."""
    try:
        return work(*arguments)
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        return error


def place(
    pixels: NDArray[Any], valid_shape: NDArray[Any], images: Sequence[Image], leave: Set[int] = frozenset()
) -> None:
    """Put images into the first places of a batch.

    Args:
        pixels: uint8 [N, H, W, 3], overwritten; what lies beyond an image stays as it was, for the network ignores it.
        valid_shape: int32 [N, 2], overwritten; 1 x 1 where there is no image.
        leave: positions of images whose pixels are put there otherwise.
    """
    valid_shape[:] = 1
    for position, image in enumerate(images):
        valid_shape[position] = image.valid_shape[0]
        if position not in leave:
            height, width = image.valid_shape[0].tolist() if image.is_stored else image.canvas
            resize_into(image.pixels[0], pixels[position, :height, :width])


def why_not(precision: str, capability: tuple[int, int]) -> str | None:
    """Why a GPU of this compute capability cannot compute in this precision; None: it can."""
    if precision != "bf16" or capability >= FIRST_WITH_BFLOAT16:
        return None
    return "this GPU, of compute capability {}.{}, has no bf16 (from 8.0 on)".format(*capability)


def said_of_memory(held: tuple[int, ...], wanted: tuple[int, ...], free: int, total: int) -> str:
    """That batches were left out; `free` and `total` bytes of the GPU's memory."""
    return (
        f"the GPU's memory ({total / 2**30:.0f} GiB, now {free / 2**30:.1f} GiB free) does not hold batches of "
        f"{wanted[-1]}: at most {held[-1]} images are computed together"
    )


class CpuRunner:
    """The network on the CPU: a batch is computed when it is started."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    @torch.inference_mode()
    def start(self, batch: Batch, images: Sequence[Image]) -> list[Candidates]:
        """Compute."""
        pixels = np.zeros((len(images), *batch.canvas, 3), np.uint8)
        valid_shape = np.zeros((len(images), 2), np.int32)
        place(pixels, valid_shape, images)
        boxes, scores, labels = self.detector(torch.from_numpy(pixels), torch.from_numpy(valid_shape))
        return [
            (boxes[i : i + 1].numpy(), scores[i : i + 1].numpy(), labels[i : i + 1].numpy()) for i in range(len(images))
        ]

    def finish(self, ticket: list[Candidates]) -> list[Candidates]:
        """What `start` computed."""
        return ticket
