"""`torch.cuda` where there is none: everything happens at once, on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vfnet_runtime.engines.cuda_runner import CapturedRun, CudaRunner


def simulate_cuda(patch: pytest.MonkeyPatch, *, holds: int = 8) -> None:
    """Have `CudaRunner` run on the CPU, on a device whose memory `holds` batches of so many images."""
    nothing = SimpleNamespace(
        record=lambda: None, wait=lambda: None, synchronize=lambda: None, wait_stream=lambda _: None
    )

    @contextlib.contextmanager
    def no_stream(*_: Any, **__: Any) -> Iterator[None]:
        yield

    for name in ("Stream", "Event", "current_stream", "default_stream"):
        patch.setattr(torch.cuda, name, lambda *_, **__: nothing)
    for name in ("set_device", "set_stream", "synchronize", "empty_cache", "graph_pool_handle"):
        patch.setattr(torch.cuda, name, lambda *_, **__: None)
    patch.setattr(torch.cuda, "stream", no_stream)
    patch.setattr(torch.cuda, "graph", no_stream)
    patch.setattr(torch.cuda, "CUDAGraph", lambda: nothing)
    empty = torch.empty

    def unpinned(*shape: Any, **options: Any) -> torch.Tensor:
        options.pop("pin_memory", None)
        return empty(*shape, **options)

    patch.setattr(torch, "empty", unpinned)
    capture = CudaRunner._capture

    def captured(runner: CudaRunner, canvas: tuple[int, int], size: int, pool: Any) -> CapturedRun:
        if size > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        run = capture(runner, canvas, size, pool)

        def replay() -> None:
            for output, value in zip(run.outputs, runner.detector(run.pixels, run.valid_shape), strict=True):
                output.copy_(value)

        return run._replace(graph=SimpleNamespace(replay=replay))

    patch.setattr(CudaRunner, "_capture", captured)
