"""Milliseconds an image: the engine in every precision, against the plain network run eagerly, in one run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from vfnet_build.architecture.detector import Detector
from vfnet_build.architecture.network_file import write_network
from vfnet_build.architecture.vfnet import VFNet
from vfnet_build.engines.half_precision import use_half_precision
from vfnet_build.gpu_benchmark.conditions import GMACS, Conditions, stock_network, use_served_modules


def speed(conditions: Conditions) -> dict[str, dict[str, float]]:
    """Contestant -> batch size -> milliseconds an image on one canvas, pixels already on the device."""
    network = stock_network(conditions)
    found: dict[str, dict[str, float]] = {}
    for precision in ("fp16", "bf16", "f32"):
        found[f"engine {precision}"] = _engine(conditions, network, precision)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found["eager f32, TF32 off"] = _time(conditions, Detector(copy.deepcopy(network)).eval().to(conditions.device))
    half = copy.deepcopy(network)
    use_half_precision(half, torch.float16)
    found["eager fp16"] = _time(conditions, Detector(half).eval().to(conditions.device))
    return found


def fractions_of_floor(found: dict[str, dict[str, float]], ceilings: dict[str, float]) -> dict[str, float]:
    """What part of each engine's time the network's multiplications would take at the measured peak."""
    fractions = {}
    for precision in ("fp16", "bf16", "f32"):
        floor = 2 * GMACS / ceilings[f"matmul {precision} TFLOP/s"]  # GFLOP / TFLOP/s = ms
        for batch, milliseconds in found[f"engine {precision}"].items():
            fractions[f"{precision}, batch {batch}"] = floor / milliseconds
    return fractions


def _engine(conditions: Conditions, network: VFNet, precision: str) -> dict[str, float]:
    """By replaying the graphs that serve; on the CPU by the engine's own network."""
    use_served_modules()
    engines: Any = import_module("torch_engine")
    path = conditions.scratch / "network.pt"
    write_network(network, path)
    engine = engines.TorchEngine(
        path, str(conditions.device), precision, "{}x{}".format(*conditions.canvas), conditions.batch_sizes
    )
    runner: Any = engine.runner
    if not conditions.on_gpu:
        return _time(conditions, runner.detector)
    found = {}
    for size in conditions.batch_sizes:
        run = runner.runs[conditions.canvas, size]
        run.pixels.random_(0, 256)
        found[str(size)] = conditions.milliseconds(run.graph.replay) / size
    del engine, runner, run
    torch.cuda.empty_cache()
    return found


def _time(conditions: Conditions, detector: Detector) -> dict[str, float]:
    found = {}
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
