"""The engine without a server around it, and its images a second: uploads, batches and candidates."""

from __future__ import annotations

import gc
from time import perf_counter
from typing import Any

import torch

from vfnet_bench.gpu.conditions import Conditions
from vfnet_bench.gpu.pictures import UNIFORM, picture_arrays
from vfnet_runtime.architecture.network_file import write_network
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, KernelChoices
from vfnet_runtime.engines.torch_engine import Image, TorchEngine

_BATCHES = 4
"""Given at once: while one computes, the next is uploaded, as a busy server's."""


def make_engine(
    conditions: Conditions,
    network: VFNet,
    precision: str,
    canvases: str,
    batch_sizes: tuple[int, ...],
    *,
    choices: KernelChoices = DEFAULT_CHOICES,
) -> TorchEngine:
    """Of the network."""
    path = conditions.scratch / "bare.pt"
    write_network(network, path)
    return TorchEngine(path, str(conditions.device), precision, canvases, batch_sizes, choices=choices)


def checked(outcome: Any) -> Any:
    """An image's candidates, where its detection did not fail; else that is raised."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def bare_rate(conditions: Conditions, network: VFNet, precision: str) -> float:
    """With the photos that are sent to the server, on their canvas, in batches as large as there are."""
    (picture,) = picture_arrays(conditions, network.config.preprocess, UNIFORM)
    height, width = picture[0].shape[1:3]
    largest = 2 if conditions.rehearsal else 8
    engine = make_engine(conditions, network, precision, f"{height}x{width}", (1, largest))
    images = [Image(*picture)] * (largest * _BATCHES)
    for _, outcome in engine.detect(images):
        checked(outcome)
    count, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < (0.5 if conditions.rehearsal else 3.0):
        count += sum(1 for _ in engine.detect(images))
    del engine
    gc.collect()  # what the graphs hold goes back before a server wants it
    torch.cuda.empty_cache()
    return count / elapsed
