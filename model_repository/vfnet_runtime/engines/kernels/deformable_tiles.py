"""Which way a deformable convolution is computed, and in which pieces, on each kind of GPU.

Chosen by what the compiler makes of them (`vfnet bench kernels` prints it, docs/gpu.md keeps it): matrix instructions
where the GPU has them, no registers spilled, and no more shared memory than every architecture has (99 KiB on 8.6, 8.9
and 12.0). Nothing here was timed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from vfnet_runtime.engines.kernels.gpu_facts import Capability

FIRST_WITH_MATRIX_CODE: Capability = (8, 0)
"""Below, Triton's language (3.7.1) has no matrix instructions, though the GPU does: a product in half precision becomes
scalar code that keeps 8 KB of each thread's sums in memory."""
FIRST_WITH_BFLOAT16: Capability = (8, 0)
_HOPPER = 9
_FEW_BLOCKS = 2
"""A GPU that gets fewer blocks than this for each of its multiprocessors is given smaller ones."""


class Tile(NamedTuple):
    """What one program computes at a time."""

    positions: int
    """Of the output."""
    outputs: int
    """Channels of the output, of one group."""
    channels: int
    """Of the input, in one step."""
    warps: int
    stages: int
    """1: samples come through the first-level cache, where neighbours' taps find them again; 2: around it, while the
    step before is multiplied."""


def multiplies_in_kernel(capability: Capability, dtype: torch.dtype) -> bool:
    """Whether one kernel samples and multiplies; else the samples are written to memory, for cuBLAS to multiply."""
    return dtype == torch.float32 or capability >= FIRST_WITH_MATRIX_CODE


def tile_for(
    capability: Capability, dtype: torch.dtype, channels: int, outputs: int, positions: int, multiprocessors: int
) -> Tile:
    """The tile for a convolution of `channels` (of one group and one offset group) into `outputs` (of one group).

    Args:
        positions: of the output, all images together.
        multiprocessors: of the GPU.
    """
    if dtype == torch.float32:
        return Tile(32, min(64, _power_of_2(outputs)), 32, 4, 2)
    width = min(256, _power_of_2(outputs))
    if width == 128:
        return Tile(64, 128, 32, 8, 1)
    if width < 128:
        return Tile(64, width, 64 if channels % 64 == 0 else 32, 4, 1)
    if positions >= 128 * _FEW_BLOCKS * multiprocessors:
        # Filters are read half as often as with 64 positions. 8 warps would hold 254 registers of 255 on 9.0.
        return Tile(128, 256, 32, 16 if capability[0] == _HOPPER else 8, 1)
    return Tile(64, 256, 32, 8, 1)


def _power_of_2(number: int) -> int:
    """The next, from 16 on: matrix instructions know nothing smaller."""
    return max(16, 1 << (number - 1).bit_length())
