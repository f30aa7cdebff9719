"""What kernels are chosen by: a GPU's compute capability and its multiprocessors."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch

Capability = tuple[int, int]
"""Major and minor number of a GPU's compute capability."""


class GpuFacts(NamedTuple):
    """Of one GPU."""

    capability: Capability
    multiprocessors: int


INTERPRETED = GpuFacts((9, 0), 132)
"""Of the GPU that the interpreter stands for: an H100's."""


@functools.cache
def gpu_facts(device: torch.device) -> GpuFacts:
    """Of a device; of the CPU, where kernels are interpreted, an H100's."""
    if device.type != "cuda":
        return INTERPRETED
    return GpuFacts(
        torch.cuda.get_device_capability(device), torch.cuda.get_device_properties(device).multi_processor_count
    )
