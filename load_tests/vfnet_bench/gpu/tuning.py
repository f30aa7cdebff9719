"""What could be chosen otherwise, each beside what is chosen: tiles, padded outputs, cuDNN's choices and epilogues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_bench.gpu.speed import engine_runs
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, KernelChoices
from vfnet_runtime.engines.kernels.deformable_tiles import Tile, tile_for

TILES = (
    Tile(128, 256, 32, 16, 1),
    Tile(128, 256, 32, 8, 1),
    Tile(64, 256, 32, 8, 1),
    Tile(64, 256, 32, 8, 3),
    Tile(64, 256, 64, 8, 2),
    Tile(64, 256, 64, 8, 3),
    Tile(128, 128, 64, 8, 1),
    Tile(32, 256, 64, 8, 1),
)
"""Those that compile without spills on 9.0, and the one that was used before (64, 256, 64, 8, 2)."""
_CHANNELS = 256
_STRIDES = {"stride 8": 8, "stride 16": 16, "stride 32": 32}
_OTHERWISE = {
    "convolutions and what follows them apart": KernelChoices(convolve_in_one_pass=False),
    "level after level": KernelChoices(levels_together=False),
    "coarser levels beside the finest": KernelChoices(overlap_levels=True),
}
Work = Callable[[], object]


def tuning(conditions: Conditions) -> dict[str, dict[str, float | str]]:
    """Milliseconds of a batch, by what is compared; a comparison that fails says why."""
    compare: dict[str, Callable[[], dict[str, float | str]]] = {}
    for size in (conditions.batch_sizes[0], conditions.batch_sizes[-1]):
        for name, stride in _STRIDES.items():
            compare[f"deformable, {name}, batch {size}"] = lambda size=size, stride=stride: tiles(  # type: ignore[misc]
                conditions, size, stride
            )
    compare["outputs of conv_offset"] = lambda: offset_outputs(conditions)
    compare["bias and ReLU after a convolution"] = lambda: epilogues(conditions)
    compare["enlarging 640 x 480"] = lambda: enlarging(conditions)
    compare["engine, as it is"] = lambda: engine_times(conditions)
    compare["engine, cudnn.benchmark"] = lambda: engine_times(conditions, cudnn_benchmark=True)
    for name, choices in _OTHERWISE.items():
        compare[f"engine, {name}"] = lambda choices=choices: engine_times(conditions, choices)  # type: ignore[misc]
    return conditions.measure_each(compare, 20)


def tiles(conditions: Conditions, images: int, stride: int) -> dict[str, float | str]:
    """A deformable convolution of 256 channels by each tile; needs a GPU."""
    from vfnet_runtime.engines.kernels.deformable_kernel import deform_conv

    if not conditions.on_gpu:
        return {"failed": "needs a GPU"}
    height, width = (-(-side // stride) for side in conditions.canvas)
    x = _map(conditions, images, height, width)
    prediction = torch.randn(images, 27, height, width, device=conditions.device).half()
    weight = _filters(conditions, _CHANNELS)
    capability = torch.cuda.get_device_capability(conditions.device)
    multiprocessors = torch.cuda.get_device_properties(conditions.device).multi_processor_count
    chosen = tile_for(capability, x.dtype, _CHANNELS, _CHANNELS, images * height * width, multiprocessors)
    found: dict[str, float | str] = {"chosen": str(tuple(chosen))}
    work: dict[str, Work] = {}
    for tile in TILES:
        work[str(tuple(tile))] = lambda tile=tile: deform_conv(  # type: ignore[misc]
            x, prediction, weight, None, 1, 1, True, True, None, tile=tile
        )
    return found | _each(conditions, work)


def _each(conditions: Conditions, works: dict[str, Work]) -> dict[str, float | str]:
    """Milliseconds of each; one that fails says why and leaves the others."""
    found: dict[str, float | str] = {}
    for name, work in works.items():
        try:
            found[name] = _milliseconds(conditions, work)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def offset_outputs(conditions: Conditions) -> dict[str, float | str]:
    """The convolution that predicts offsets, with 27 outputs, with 32, and in float32 as for bf16."""
    height, width = (-(-side // 8) for side in conditions.canvas)
    x = _map(conditions, conditions.batch_sizes[-1], height, width)
    found: dict[str, float | str] = {}
    for outputs in (27, 32):
        weight = _filters(conditions, outputs)
        found[str(outputs)] = _milliseconds(conditions, lambda weight=weight: F.conv2d(x, weight, padding=1))  # type: ignore[misc]
    exact = _filters(conditions, 32).float()
    found["32, float32"] = _milliseconds(conditions, lambda: F.conv2d(x.float(), exact, padding=1))
    return found


def epilogues(conditions: Conditions) -> dict[str, float | str]:
    """A 1x1 convolution, then bias, residual and ReLU: by our pass after it, by cuDNN in one, by our kernel in one."""
    from vfnet_runtime.engines.network_operations import add_and_rectify

    height, width = (-(-side // 8) for side in conditions.canvas)
    x, residual = (_map(conditions, conditions.batch_sizes[-1], height, width) for _ in range(2))
    weight = _filters(conditions, _CHANNELS)[:, :, :1, :1].contiguous(memory_format=torch.channels_last)
    bias = torch.zeros(_CHANNELS, device=conditions.device)
    work: dict[str, Work] = {
        "convolution alone": lambda: F.conv2d(x, weight),
        "and our pass": lambda: add_and_rectify(F.conv2d(x, weight), bias),
        "and our pass with a residual": lambda: add_and_rectify(F.conv2d(x, weight), bias, residual),
    }
    if conditions.on_gpu:
        from vfnet_runtime.engines.kernels import convolve_1x1_kernel as kernel

        half, plain = bias.half(), ((1, 1), (0, 0), (1, 1), 1)
        work["cuDNN in one"] = lambda: torch.cudnn_convolution_relu(x, weight, half, *plain)
        work["cuDNN in one, residual"] = lambda: torch.cudnn_convolution_add_relu(
            x, weight, residual, 1.0, half, *plain
        )
        for tile in kernel.TILES:
            work[f"our kernel in one, residual, {tuple(tile)}"] = lambda tile=tile: kernel.convolve_1x1(  # type: ignore[misc]
                x, weight, bias, 1, residual, None, tile
            )
    return _each(conditions, work)


def enlarging(conditions: Conditions) -> dict[str, float | str]:
    """A stored photo onto its canvas: by OpenCV on the host, by the kernel."""
    from vfnet_runtime.resizing import resize_onto_canvas

    image = np.zeros((480, 640, 3), np.uint8)
    found: dict[str, float | str] = {
        "on the host": conditions.milliseconds(lambda: resize_onto_canvas(image, (1333, 800), 32))
    }
    if conditions.on_gpu:
        from vfnet_runtime.engines.kernels.resize_kernel import resize, weights

        rows, columns = (
            torch.from_numpy(weights(old, new, ends_alone=alone)).to(conditions.device)
            for old, new, alone in ((480, 800, False), (640, 1067, True))
        )
        source = torch.from_numpy(image).to(conditions.device)
        out = torch.empty(800, 1088, 3, dtype=torch.uint8, device=conditions.device)
        found["by the kernel"] = _milliseconds(conditions, lambda: resize(source, rows, columns, (800, 1067), out))
    return found


def engine_times(
    conditions: Conditions, choices: KernelChoices = DEFAULT_CHOICES, *, cudnn_benchmark: bool = False
) -> dict[str, float | str]:
    """The engine in fp16: milliseconds a batch, and how many kernels a graph of one image launches."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = cudnn_benchmark
    try:
        runs = engine_runs(conditions, stock_network(conditions), "fp16", choices)
        found: dict[str, float | str] = {f"batch {size}": conditions.milliseconds(run) for size, run in runs.items()}
        found["kernels of one image"] = float(_launches(conditions, runs[min(runs)]))
    finally:
        torch.backends.cudnn.benchmark = before
    return found


def _launches(conditions: Conditions, work: Work) -> int:
    with profile(activities=[ProfilerActivity.CUDA if conditions.on_gpu else ProfilerActivity.CPU]) as profiler:
        work()
        conditions.synchronize()
    return sum(event.count for event in profiler.key_averages())


def _milliseconds(conditions: Conditions, work: Work) -> float:
    """Of one run in a row of ten, so that launching is not what is measured."""

    def ten() -> None:
        for _ in range(10):
            work()

    with torch.inference_mode():
        return conditions.milliseconds(ten) / 10


def _map(conditions: Conditions, images: int, height: int, width: int) -> Any:
    x = torch.randn(images, _CHANNELS, height, width, device=conditions.device).half()
    return x.contiguous(memory_format=torch.channels_last)


def _filters(conditions: Conditions, outputs: int) -> Any:
    weight = torch.randn(outputs, _CHANNELS, 3, 3, device=conditions.device).mul(0.02).half()
    return weight.contiguous(memory_format=torch.channels_last)
