"""Milliseconds an image: the engine in every precision, against the plain network run eagerly, in one run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from vfnet_bench.gpu.bare_engine import make_engine
from vfnet_bench.gpu.conditions import GMACS, Conditions, allow_tf32, stock_network
from vfnet_build.engines.half_precision import use_half_precision
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, KernelChoices

PRECISIONS = ("fp16", "bf16", "f32")
EAGER_F32 = "eager f32, TF32 off"
_SECONDS_OF_ONE = 20
Times = dict[str, float | str]
"""Batch size -> milliseconds an image; or `failed` -> why there are none."""


def speed(conditions: Conditions) -> dict[str, Times]:
    """Contestant -> times on one canvas, pixels already on the device. One that fails leaves the others."""
    network = stock_network(conditions)
    contestants: dict[str, Callable[[], Times]] = {
        f"engine {precision}": partial(_engine, conditions, network, precision) for precision in PRECISIONS
    }
    contestants[EAGER_F32] = lambda: _eager_f32(conditions, network)
    contestants["eager fp16"] = lambda: _eager_fp16(conditions, network)
    return conditions.measure_each(contestants, _SECONDS_OF_ONE)


def fractions_of_floor(found: dict[str, Times], ceilings: dict[str, float]) -> dict[str, float]:
    """What part of each engine's time the network's multiplications would take at the measured peak."""
    fractions = {}
    for precision in PRECISIONS:
        floor = 2 * GMACS / ceilings[f"matmul {precision} TFLOP/s"]  # GFLOP / TFLOP/s = ms
        for batch, milliseconds in found[f"engine {precision}"].items():
            if isinstance(milliseconds, float):
                fractions[f"{precision}, batch {batch}"] = floor / milliseconds
    return fractions


def gains(found: dict[str, Times]) -> dict[str, float]:
    """How many times faster the engine is than plain torch in f32 with TF32 off."""
    ratios = {}
    for precision in PRECISIONS:
        for batch, milliseconds in found[f"engine {precision}"].items():
            eager = found[EAGER_F32].get(batch)
            if isinstance(milliseconds, float) and isinstance(eager, float):
                ratios[f"{precision}, batch {batch}"] = eager / milliseconds
    return ratios


def engine_runs(
    conditions: Conditions, network: VFNet, precision: str, choices: KernelChoices = DEFAULT_CHOICES
) -> dict[int, Callable[[], object]]:
    """Batch size -> what computes one: the replay of the graph that serves; on the CPU the engine's own network."""
    canvas = "{}x{}".format(*conditions.canvas)
    engine = make_engine(conditions, network, precision, canvas, conditions.batch_sizes, choices=choices)
    runner: Any = engine.runner
    if not conditions.on_gpu:
        return {size: _eager(conditions, runner.detector, size) for size in conditions.batch_sizes}
    for size in conditions.batch_sizes:
        with torch.inference_mode():  # the runner made them in it; elsewhere they cannot be written to
            runner.runs[conditions.canvas, size].pixels.random_(0, 256)
    return {size: partial(_replay, runner, conditions.canvas, size) for size in conditions.batch_sizes}


def _replay(runner: Any, canvas: tuple[int, int], size: int) -> None:
    """Held by its arguments, the weights and inputs that the graph reads live as long as it may be replayed."""
    runner.runs[canvas, size].graph.replay()


def _engine(conditions: Conditions, network: VFNet, precision: str) -> Times:
    runs = engine_runs(conditions, network, precision)
    found: Times = {}
    for size, run in runs.items():
        found[str(size)] = conditions.milliseconds(run) / size
    del runs, run
    torch.cuda.empty_cache()
    return found


def _eager_f32(conditions: Conditions, network: VFNet) -> Times:
    allow_tf32(False)
    return _time(conditions, Detector(copy.deepcopy(network)).eval().to(conditions.device))


def _eager_fp16(conditions: Conditions, network: VFNet) -> Times:
    allow_tf32(True)  # for what stays in float32, as the engine does
    half = copy.deepcopy(network)
    use_half_precision(half, torch.float16)
    detector = Detector(half).eval().to(conditions.device)
    return _time(conditions, detector.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def _time(conditions: Conditions, detector: Detector) -> Times:
    found: Times = {}
    for size in conditions.batch_sizes:
        work = _eager(conditions, detector, size)
        try:
            found[str(size)] = conditions.milliseconds(work) / size
        except torch.OutOfMemoryError:
            found[str(size)] = float("nan")
            torch.cuda.empty_cache()
    return found


def _eager(conditions: Conditions, detector: Detector, size: int) -> Callable[[], object]:
    shape = (size, *conditions.canvas, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=conditions.device)
    valid_shape = torch.tensor([conditions.canvas] * size, dtype=torch.int32, device=conditions.device)

    def work() -> object:
        with torch.inference_mode():
            return detector(pixels, valid_shape)

    return work
