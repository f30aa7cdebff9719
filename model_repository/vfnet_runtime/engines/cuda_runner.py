"""The network on CUDA: one captured graph for each canvas and batch size, uploads beside the computation."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.canvases import Canvas
from vfnet_runtime.engines.batching import Batch
from vfnet_runtime.engines.gpu_memory import prepare_what_fits
from vfnet_runtime.engines.torch_engine import Candidates, Image, place

BUFFERS = 2
"""Batches under way: one computes, one is uploaded."""


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
        self, detector: Detector, device: torch.device, canvases: tuple[Canvas, ...], batch_sizes: tuple[int, ...]
    ) -> None:
        """Capture every canvas with every batch size that the GPU's memory holds: `batch_sizes`, from then on.

        The first run compiles kernels, or finds them cached.
        """
        self.detector, self.device = detector, device
        torch.cuda.set_device(device)
        self.compute, self.copy = torch.cuda.Stream(device), torch.cuda.Stream(device)
        (self.runs, self.buffers), self.batch_sizes = prepare_what_fits(
            lambda sizes: self._prepare(canvases, sizes), batch_sizes, self._release
        )
        self.started = 0

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
        pixels = buffer.pixels[: run.pixels.numel()]
        place(pixels.view(run.pixels.shape).numpy(), buffer.valid_shape[: batch.size].numpy(), images)
        with torch.cuda.stream(self.copy):
            buffer.device_pixels[: pixels.numel()].copy_(pixels, non_blocking=True)
            buffer.uploaded.record()
        with torch.cuda.stream(self.compute):
            buffer.uploaded.wait()
            run.pixels.view(-1).copy_(buffer.device_pixels[: pixels.numel()])
            run.valid_shape.copy_(buffer.valid_shape[: batch.size], non_blocking=True)
            run.graph.replay()
            for target, output in zip(buffer.outputs, run.outputs, strict=True):
                target[: batch.size].copy_(output, non_blocking=True)
            buffer.done.record()
        return buffer, len(images)

    def finish(self, ticket: tuple[Buffer, int]) -> list[Candidates]:
        """Wait; copies, because the buffer is used again."""
        buffer, count = ticket
        buffer.done.synchronize()
        boxes, scores, labels = ([output[i : i + 1].numpy().copy() for i in range(count)] for output in buffer.outputs)
        return list(zip(boxes, scores, labels, strict=True))
