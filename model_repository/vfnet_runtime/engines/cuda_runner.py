"""The network on CUDA: one captured graph for each canvas and batch size, uploads beside the computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.canvases import Canvas
from vfnet_runtime.engines.batching import Batch
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
        self.uploaded, self.done = torch.cuda.Event(), torch.cuda.Event()


class CudaRunner:
    """Two batches at a time: while one computes, the next one's pixels are copied and uploaded."""

    def __init__(
        self, detector: Detector, device: torch.device, canvases: tuple[Canvas, ...], batch_sizes: tuple[int, ...]
    ) -> None:
        """Capture every canvas with every batch size. The first run compiles kernels, or finds them cached."""
        self.detector, self.device = detector, device
        self.runs: dict[tuple[Canvas, int], CapturedRun] = {}
        torch.cuda.set_device(device)
        self.compute, self.copy = torch.cuda.Stream(device), torch.cuda.Stream(device)
        pool = torch.cuda.graph_pool_handle()
        # The largest first: the memory it takes is shared by all, for only one runs at a time.
        for canvas in reversed(canvases):
            for size in reversed(batch_sizes):
                self.runs[canvas, size] = self._capture(canvas, size, pool)
        largest = max(3 * height * width for height, width in canvases) * batch_sizes[-1]
        outputs = next(iter(self.runs.values())).outputs
        self.buffers = [Buffer(device, largest, batch_sizes[-1], outputs) for _ in range(BUFFERS)]
        self.started = 0

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
