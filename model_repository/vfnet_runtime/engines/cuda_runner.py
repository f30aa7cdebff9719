"""The network on CUDA: one captured graph for each canvas and batch size, uploads beside the computation."""

from __future__ import annotations

import gc
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.canvases import Canvas
from vfnet_runtime.engines import network_operations
from vfnet_runtime.engines.batching import Batch
from vfnet_runtime.engines.gpu_memory import prepare_what_fits
from vfnet_runtime.engines.torch_engine import Candidates, Image, place

BUFFERS = 2
"""Batches under way: one computes, one is uploaded."""
_MOST_WEIGHTS = 512
"""Of sides that are resized, kept on the device: 20 KB each."""


class CapturedRun(NamedTuple):
    """A graph and the tensors it reads and writes, on the device."""

    graph: Any
    pixels: Tensor
    valid_shape: Tensor
    outputs: tuple[Tensor, ...]


class Buffer:
    """Pinned memory for the inputs and outputs of one batch, and where its pixels arrive on the device."""

    def __init__(self, device: torch.device, pixels: int, batch_size: int, outputs: Sequence[Tensor]) -> None:
        self.pixels = torch.empty(pixels, dtype=torch.uint8, pin_memory=True)
        self.valid_shape = torch.empty((batch_size, 2), dtype=torch.int32, pin_memory=True)
        self.device_pixels = torch.empty(pixels, dtype=torch.uint8, device=device)
        self.outputs = [
            torch.empty((batch_size, *output.shape[1:]), dtype=output.dtype, pin_memory=True) for output in outputs
        ]
        self.uploaded = torch.cuda.Event()
        # Whoever waits for it sleeps: a thread that spins takes a core from those that decode.
        self.done = torch.cuda.Event(blocking=True)


class CudaRunner:
    """Two batches at a time: while one computes, the next one's pixels are copied and uploaded."""

    def __init__(
        self,
        detector: Detector,
        device: torch.device,
        canvases: tuple[Canvas, ...],
        batch_sizes: tuple[int, ...],
        *,
        all_sizes: bool = False,
    ) -> None:
        """Capture every canvas with every batch size that the GPU's memory holds: `batch_sizes`, from then on.

        The first run compiles kernels, or finds them cached.
        """
        self.detector, self.device = detector, device
        torch.cuda.set_device(device)
        self.compute, self.copy = torch.cuda.Stream(device), torch.cuda.Stream(device)
        (self.runs, self.buffers), self.batch_sizes = prepare_what_fits(
            lambda sizes: self._prepare(canvases, sizes), batch_sizes, self._release, all_sizes=all_sizes
        )
        self.started = 0
        self.weights: dict[tuple[int, int, bool], Tensor] = {}

    def _prepare(
        self, canvases: tuple[Canvas, ...], batch_sizes: tuple[int, ...]
    ) -> tuple[dict[tuple[Canvas, int], CapturedRun], list[Buffer]]:
        runs: dict[tuple[Canvas, int], CapturedRun] = {}
        pool = torch.cuda.graph_pool_handle()
        # The largest first: the memory it takes is shared by all, for only one runs at a time.
        for canvas in reversed(canvases):
            for size in reversed(batch_sizes):
                runs[canvas, size] = self._capture(canvas, size, pool)
        largest = max(3 * height * width for height, width in canvases) * batch_sizes[-1]
        outputs = next(iter(runs.values())).outputs
        return runs, [Buffer(self.device, largest, batch_sizes[-1], outputs) for _ in range(BUFFERS)]

    def _release(self) -> None:
        # A capture that was broken off leaves its stream the current one.
        torch.cuda.set_stream(torch.cuda.default_stream(self.device))
        torch.cuda.synchronize(self.device)
        gc.collect()  # graphs, and what they hold, are freed with the objects
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def _capture(self, canvas: Canvas, size: int, pool: Any) -> CapturedRun:
        pixels = torch.zeros((size, *canvas, 3), dtype=torch.uint8, device=self.device)
        valid_shape = torch.tensor([canvas] * size, dtype=torch.int32, device=self.device)
        self.compute.wait_stream(torch.cuda.current_stream(self.device))  # which fills the inputs
        with torch.cuda.stream(self.compute):
            for _ in range(2):  # what is compiled, chosen and allocated at first use must not be captured
                self.detector(pixels, valid_shape)
        self.compute.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=self.compute):
            outputs = self.detector(pixels, valid_shape)
        return CapturedRun(graph, pixels, valid_shape, outputs)

    @torch.inference_mode()
    def start(self, batch: Batch, images: Sequence[Image]) -> tuple[Buffer, int]:
        """Upload and launch. The caller has finished the batch before the last one."""
        run = self.runs[batch.canvas, batch.size]
        buffer = self.buffers[self.started % BUFFERS]
        self.started += 1
        with_kernels = network_operations.HAS_KERNELS
        stored = {position for position, image in enumerate(images) if image.is_stored and with_kernels}
        slots = buffer.pixels[: run.pixels.numel()].view(batch.size, -1)
        place(slots.view(run.pixels.shape).numpy(), buffer.valid_shape[: batch.size].numpy(), images, leave=stored)
        for position in stored:
            raw = torch.from_numpy(images[position].pixels).view(-1)
            slots[position, : len(raw)] = raw
        on_device = buffer.device_pixels[: run.pixels.numel()].view(batch.size, -1)
        with torch.cuda.stream(self.copy):
            if stored:
                for position, image in enumerate(images):
                    length = image.pixels.size if position in stored else slots.shape[1]
                    on_device[position, :length].copy_(slots[position, :length], non_blocking=True)
            else:
                on_device.copy_(slots, non_blocking=True)
            buffer.uploaded.record()
        with torch.cuda.stream(self.compute):
            buffer.uploaded.wait()
            if stored:
                self._fill(run.pixels, on_device, images, stored)
            else:
                run.pixels.view(batch.size, -1).copy_(on_device)
            run.valid_shape.copy_(buffer.valid_shape[: batch.size], non_blocking=True)
            run.graph.replay()
            for target, output in zip(buffer.outputs, run.outputs, strict=True):
                target[: batch.size].copy_(output, non_blocking=True)
            buffer.done.record()
        return buffer, len(images)

    def _fill(self, pixels: Tensor, uploaded: Tensor, images: Sequence[Image], stored: Set[int]) -> None:
        """The graph's input [N, H, W, 3] of what was uploaded [N, H * W * 3]; `stored` images are resized here."""
        from vfnet_runtime.engines.kernels.resize_kernel import resize

        for position, image in enumerate(images):
            if position not in stored:
                pixels[position].view(-1).copy_(uploaded[position])
                continue
            size, (height, width) = image.pixels.shape[1:], image.valid_shape[0].tolist()
            rows, columns = (
                self._weights(size[0], height, ends_alone=False),
                self._weights(size[1], width, ends_alone=True),
            )
            source = uploaded[position, : image.pixels.size].view(size)
            resize(source, rows, columns, (height, width), pixels[position])

    def _weights(self, size: int, new_size: int, *, ends_alone: bool) -> Tensor:
        """Of one side, on the device: photos of a camera are all of one size."""
        from vfnet_runtime.engines.kernels.resize_kernel import weights

        key = (size, new_size, ends_alone)
        if key not in self.weights:
            if len(self.weights) >= _MOST_WEIGHTS:
                self.weights.clear()
            self.weights[key] = torch.from_numpy(weights(size, new_size, ends_alone=ends_alone)).to(self.device)
        return self.weights[key]

    def finish(self, ticket: tuple[Buffer, int]) -> list[Candidates]:
        """Wait; copies, because the buffer is used again."""
        buffer, count = ticket
        buffer.done.synchronize()
        boxes, scores, labels = ([output[i : i + 1].numpy().copy() for i in range(count)] for output in buffer.outputs)
        return list(zip(boxes, scores, labels, strict=True))
