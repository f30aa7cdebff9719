"""Group normalisation that leaves the padding out, with ReLU, in Triton's language: two reads of a map and one write.

The maps of all pyramid levels are normalised in three launches, each by its own statistics. Means and squared
deviations are taken per block of cells and put together as Chan, Golub and LeVeque do (1979): sums of squares would
lose the variance of maps whose mean is large.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.kernel_maps import (
    LEVELS,
    channels_last,
    first_blocks,
    for_levels,
    heights_and_widths,
    is_valid,
    level_of,
    of_level,
)

_CELLS = 64
_SIZES = [f"{side}_{level}" for side in ("height", "width") for level in range(LEVELS)]


# Kernels of their own for sizes by 16, or one block, would not be faster: here and below.
@triton.jit(do_not_specialize=_SIZES)
def _block_statistics(
    x_0, x_1, x_2, x_3, x_4, sizes_0, sizes_1, sizes_2, sizes_3, sizes_4, counts, means, deviations,
    height_0, height_1, height_2, height_3, height_4, width_0, width_1, width_2, width_3, width_4,
    CHANNELS: tl.constexpr, BLOCK_CELLS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
):  # fmt: skip
    image, block, blocks = tl.program_id(1), tl.program_id(0), tl.num_programs(0)
    first_1, first_2, first_3, first_4 = first_blocks(
        height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3, 1, BLOCK_CELLS
    )
    level = level_of(block, first_1, first_2, first_3, first_4)
    x, sizes = of_level(level, x_0, x_1, x_2, x_3, x_4), of_level(level, sizes_0, sizes_1, sizes_2, sizes_3, sizes_4)
    height = of_level(level, height_0, height_1, height_2, height_3, height_4)
    width = of_level(level, width_0, width_1, width_2, width_3, width_4)
    place = (block - of_level(level, 0, first_1, first_2, first_3, first_4)) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.arange(0, BLOCK_CHANNELS)
    area = height * width
    cell = image * area + place
    valid = (place < area) & is_valid(cell, (image + 1) * area, sizes, height, width)
    at = cell[:, None].to(tl.int64) * CHANNELS + channel[None, :]
    inside = valid[:, None] & (channel < CHANNELS)[None, :]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    count = tl.sum(valid.to(tl.float32), axis=0)
    mean = tl.sum(value, axis=0) / tl.maximum(count, 1.0)
    centred = tl.where(inside, value - mean[None, :], 0.0)
    to = (image * blocks + block) * CHANNELS + channel
    tl.store(counts + image * blocks + block, count)
    tl.store(means + to, mean, mask=channel < CHANNELS)
    tl.store(deviations + to, tl.sum(centred * centred, axis=0), mask=channel < CHANNELS)


@triton.jit(do_not_specialize=["blocks", *(name for name in _SIZES if not name.endswith("_4"))])
def _group_statistics(
    counts, means, deviations, group_means, group_scales, blocks, eps,
    height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3,
    CHANNELS: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr, BLOCK_GROUP: tl.constexpr,
    BLOCK_CELLS: tl.constexpr,
):  # fmt: skip
    group, image, level, groups = tl.program_id(0), tl.program_id(1), tl.program_id(2), tl.num_programs(0)
    first_1, first_2, first_3, first_4 = first_blocks(
        height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3, 1, BLOCK_CELLS
    )
    first = of_level(level, 0, first_1, first_2, first_3, first_4)
    end = of_level(level, first_1, first_2, first_3, first_4, blocks)
    member = tl.arange(0, BLOCK_GROUP)
    total = tl.zeros([BLOCK], tl.float32)
    cells = tl.zeros([BLOCK], tl.float32)
    for start in range(first, end, BLOCK):
        block = start + tl.arange(0, BLOCK)
        at = (image * blocks + block)[:, None] * CHANNELS + group * GROUP + member[None, :]
        inside = (block < end)[:, None] & (member < GROUP)[None, :]
        count = tl.load(counts + image * blocks + block, mask=block < end, other=0.0)
        cells += count
        total += count * tl.sum(tl.load(means + at, mask=inside, other=0.0), axis=1)
    values = tl.maximum(tl.sum(cells, axis=0) * GROUP, 1.0)
    mean = tl.sum(total, axis=0) / values
    deviation = tl.zeros([BLOCK], tl.float32)
    for start in range(first, end, BLOCK):
        block = start + tl.arange(0, BLOCK)
        at = (image * blocks + block)[:, None] * CHANNELS + group * GROUP + member[None, :]
        inside = (block < end)[:, None] & (member < GROUP)[None, :]
        count = tl.load(counts + image * blocks + block, mask=block < end, other=0.0)
        away = tl.where(inside, tl.load(means + at, mask=inside, other=0.0) - mean, 0.0)
        deviation += tl.sum(tl.load(deviations + at, mask=inside, other=0.0), axis=1)
        deviation += count * tl.sum(away * away, axis=1)
    variance = tl.sum(deviation, axis=0) / values
    to = (level * tl.num_programs(1) + image) * groups + group
    tl.store(group_means + to, mean)
    tl.store(group_scales + to, 1.0 / tl.sqrt(variance + eps))


@triton.jit(do_not_specialize=_SIZES)
def _normalise(
    x_0, x_1, x_2, x_3, x_4, out_0, out_1, out_2, out_3, out_4, sizes_0, sizes_1, sizes_2, sizes_3, sizes_4,
    group_means, group_scales, weight, bias,
    height_0, height_1, height_2, height_3, height_4, width_0, width_1, width_2, width_3, width_4,
    CHANNELS: tl.constexpr, GROUP: tl.constexpr, BLOCK_CELLS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
):  # fmt: skip
    image, block = tl.program_id(1), tl.program_id(0)
    first_1, first_2, first_3, first_4 = first_blocks(
        height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3, 1, BLOCK_CELLS
    )
    level = level_of(block, first_1, first_2, first_3, first_4)
    x, sizes = of_level(level, x_0, x_1, x_2, x_3, x_4), of_level(level, sizes_0, sizes_1, sizes_2, sizes_3, sizes_4)
    out = of_level(level, out_0, out_1, out_2, out_3, out_4)
    height = of_level(level, height_0, height_1, height_2, height_3, height_4)
    width = of_level(level, width_0, width_1, width_2, width_3, width_4)
    place = (block - of_level(level, 0, first_1, first_2, first_3, first_4)) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.arange(0, BLOCK_CHANNELS)
    area = height * width
    cell = image * area + place
    known = channel < CHANNELS
    inside = (place < area)[:, None] & known[None, :]
    at = cell[:, None].to(tl.int64) * CHANNELS + channel[None, :]
    groups: tl.constexpr = CHANNELS // GROUP
    of_image = (level * tl.num_programs(1) + image) * groups + channel // GROUP
    mean = tl.load(group_means + of_image, mask=known, other=0.0)
    scale = tl.load(group_scales + of_image, mask=known, other=0.0)
    scale *= tl.load(weight + channel, mask=known, other=0.0)
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    value = (value - mean[None, :]) * scale[None, :] + tl.load(bias + channel, mask=known, other=0.0)[None, :]
    valid = (place < area) & is_valid(cell, (image + 1) * area, sizes, height, width)
    value = tl.where(valid[:, None], tl.maximum(value, 0.0), 0.0)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


def group_norm_and_rectify(
    maps: Sequence[Tensor],
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    sizes: Sequence[Tensor],
    *,
    into_float32: bool = False,
) -> list[Tensor]:
    """See `network_operations.group_norm_and_rectify`; `maps` may be overwritten. `sizes`: of each, int32 [N, 2].

    Raises:
        ValueError: there are more than `LEVELS`.
    """
    maps = [channels_last(x) for x in maps]
    first = maps[0]
    n, channels = first.shape[:2]
    group = channels // num_groups
    blocks = sum(triton.cdiv(x.shape[2] * x.shape[3], _CELLS) for x in maps)
    block_channels = triton.next_power_of_2(channels)
    empty = functools.partial(torch.empty, dtype=torch.float32, device=first.device)
    counts = empty((n, blocks))
    means, deviations = (empty((n, blocks, channels)) for _ in range(2))
    group_means, group_scales = (empty((len(maps), n, num_groups)) for _ in range(2))
    all_maps, all_sizes, sides = for_levels(maps, first), for_levels(sizes, sizes[0]), heights_and_widths(maps)
    _block_statistics[(blocks, n)](
        *all_maps, *all_sizes, counts, means, deviations, *sides,
        CHANNELS=channels, BLOCK_CELLS=_CELLS, BLOCK_CHANNELS=block_channels, num_warps=8,
    )  # fmt: skip
    _group_statistics[(num_groups, n, len(maps))](
        counts, means, deviations, group_means, group_scales, blocks, eps, *sides[: LEVELS - 1], *sides[LEVELS:-1],
        CHANNELS=channels, GROUP=group, BLOCK=64, BLOCK_GROUP=triton.next_power_of_2(group), BLOCK_CELLS=_CELLS,
    )  # fmt: skip
    outs = [torch.empty_like(x, dtype=torch.float32) for x in maps] if into_float32 else maps
    _normalise[(blocks, n)](
        *all_maps, *for_levels(outs, outs[0]), *all_sizes, group_means, group_scales, weight, bias, *sides,
        CHANNELS=channels, GROUP=group, BLOCK_CELLS=_CELLS, BLOCK_CHANNELS=block_channels, num_warps=8,
    )  # fmt: skip
    return outs
