"""What the kernels in Triton's language have in common: maps with channels last, their valid cells, their levels.

Kernels that take several pyramid levels have each argument `LEVELS` times; where there are fewer, the last are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernel_choices import MOST_LEVELS

LEVELS = MOST_LEVELS
Each = TypeVar("Each")


@triton.jit
def is_valid(cell, cells, sizes, height, width):
    """Whether cells, counted over all maps [N, H, W], are those of the image: `sizes` are int32 [N, 2]."""
    image = cell // (height * width)
    place = cell % (height * width)
    valid_height = tl.load(sizes + image * 2, mask=cell < cells, other=0)
    valid_width = tl.load(sizes + image * 2 + 1, mask=cell < cells, other=0)
    return (place // width < valid_height) & (place % width < valid_width)


def channels_last(x: Tensor) -> Tensor:
    """`x` [N, C, H, W] with channels last in memory, copied if it is not."""
    return x.contiguous(memory_format=torch.channels_last)


@triton.jit
def of_level(level, of_0, of_1, of_2, of_3, of_4):
    """An argument's value for a level."""
    return tl.where(
        level == 0, of_0, tl.where(level == 1, of_1, tl.where(level == 2, of_2, tl.where(level == 3, of_3, of_4)))
    )


@triton.jit
def first_blocks(height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3, images, block_cells):
    """How many blocks come before those of levels 1 to 4, with so many images' cells in each level."""
    first_1 = tl.cdiv(images * height_0 * width_0, block_cells)
    first_2 = first_1 + tl.cdiv(images * height_1 * width_1, block_cells)
    first_3 = first_2 + tl.cdiv(images * height_2 * width_2, block_cells)
    return first_1, first_2, first_3, first_3 + tl.cdiv(images * height_3 * width_3, block_cells)


@triton.jit
def level_of(block, first_1, first_2, first_3, first_4):
    """Which level a block belongs to; behind an empty level's come no blocks, so the levels before it are full."""
    level = (block >= first_1).to(tl.int32) + (block >= first_2).to(tl.int32)
    return level + (block >= first_3).to(tl.int32) + (block >= first_4).to(tl.int32)


def for_levels(values: Sequence[Each], fill: Each) -> tuple[Each, ...]:
    """One value for each of `LEVELS`; `fill` where there is no level.

    Raises:
        ValueError: there are more.
    """
    if len(values) > LEVELS:
        raise ValueError(f"{len(values)} levels, where the kernels take {LEVELS}")
    return (*values, *[fill] * (LEVELS - len(values)))


def heights_and_widths(maps: Sequence[Tensor]) -> tuple[int, ...]:
    """Of maps [N, C, H, W]: heights of all levels, then widths; 0 where there is no level."""
    return (*for_levels([x.shape[2] for x in maps], 0), *for_levels([x.shape[3] for x in maps], 0))
