"""Group normalisation that leaves the padding out, with ReLU, in Triton's language: two reads of a map and one write.

Means and squared deviations are taken per block of cells and put together as Chan, Golub and LeVeque do (1979): sums
of squares would lose the variance of maps whose mean is large.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.kernel_maps import channels_last, is_valid

_CELLS = 64


# Kernels of their own for sizes by 16, or one block, would not be faster: here and below.
@triton.jit(do_not_specialize=["height", "width"])
def _block_statistics(
    x, sizes, counts, means, deviations, height, width,
    CHANNELS: tl.constexpr, BLOCK_CELLS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
):  # fmt: skip
    image, block, blocks = tl.program_id(1), tl.program_id(0), tl.num_programs(0)
    place = block * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
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


@triton.jit(do_not_specialize=["blocks"])
def _group_statistics(
    counts, means, deviations, group_means, group_scales, blocks, eps,
    CHANNELS: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr, BLOCK_GROUP: tl.constexpr,
):  # fmt: skip
    group, image, groups = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    member = tl.arange(0, BLOCK_GROUP)
    total = tl.zeros([BLOCK], tl.float32)
    cells = tl.zeros([BLOCK], tl.float32)
    for start in range(0, blocks, BLOCK):
        block = start + tl.arange(0, BLOCK)
        at = (image * blocks + block)[:, None] * CHANNELS + group * GROUP + member[None, :]
        inside = (block < blocks)[:, None] & (member < GROUP)[None, :]
        count = tl.load(counts + image * blocks + block, mask=block < blocks, other=0.0)
        cells += count
        total += count * tl.sum(tl.load(means + at, mask=inside, other=0.0), axis=1)
    values = tl.maximum(tl.sum(cells, axis=0) * GROUP, 1.0)
    mean = tl.sum(total, axis=0) / values
    deviation = tl.zeros([BLOCK], tl.float32)
    for start in range(0, blocks, BLOCK):
        block = start + tl.arange(0, BLOCK)
        at = (image * blocks + block)[:, None] * CHANNELS + group * GROUP + member[None, :]
        inside = (block < blocks)[:, None] & (member < GROUP)[None, :]
        count = tl.load(counts + image * blocks + block, mask=block < blocks, other=0.0)
        away = tl.where(inside, tl.load(means + at, mask=inside, other=0.0) - mean, 0.0)
        deviation += tl.sum(tl.load(deviations + at, mask=inside, other=0.0), axis=1)
        deviation += count * tl.sum(away * away, axis=1)
    variance = tl.sum(deviation, axis=0) / values
    tl.store(group_means + image * groups + group, mean)
    tl.store(group_scales + image * groups + group, 1.0 / tl.sqrt(variance + eps))


@triton.jit(do_not_specialize=["height", "width"])
def _normalise(
    x, sizes, group_means, group_scales, weight, bias, out, height, width, groups,
    CHANNELS: tl.constexpr, GROUP: tl.constexpr, BLOCK_CELLS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1)
    place = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.arange(0, BLOCK_CHANNELS)
    area = height * width
    cell = image * area + place
    known = channel < CHANNELS
    inside = (place < area)[:, None] & known[None, :]
    at = cell[:, None].to(tl.int64) * CHANNELS + channel[None, :]
    mean = tl.load(group_means + image * groups + channel // GROUP, mask=known, other=0.0)
    scale = tl.load(group_scales + image * groups + channel // GROUP, mask=known, other=0.0)
    scale *= tl.load(weight + channel, mask=known, other=0.0)
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    value = (value - mean[None, :]) * scale[None, :] + tl.load(bias + channel, mask=known, other=0.0)[None, :]
    valid = (place < area) & is_valid(cell, (image + 1) * area, sizes, height, width)
    value = tl.where(valid[:, None], tl.maximum(value, 0.0), 0.0)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


def group_norm_and_rectify(
    x: Tensor,
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    sizes: Tensor,
    *,
    into_float32: bool = False,
) -> Tensor:
    """See `network_operations.group_norm_and_rectify`; `x` may be overwritten. `sizes`: int32 [N, 2]."""
    x = channels_last(x)
    n, channels, height, width = x.shape
    group = channels // num_groups
    blocks = triton.cdiv(height * width, _CELLS)
    block_channels = triton.next_power_of_2(channels)
    counts = torch.empty((n, blocks), dtype=torch.float32, device=x.device)
    means, deviations = (torch.empty((n, blocks, channels), dtype=torch.float32, device=x.device) for _ in range(2))
    group_means, group_scales = (torch.empty((n, num_groups), dtype=torch.float32, device=x.device) for _ in range(2))
    _block_statistics[(blocks, n)](
        x, sizes, counts, means, deviations, height, width,
        CHANNELS=channels, BLOCK_CELLS=_CELLS, BLOCK_CHANNELS=block_channels, num_warps=8,
    )  # fmt: skip
    _group_statistics[(num_groups, n)](
        counts, means, deviations, group_means, group_scales, blocks, eps,
        CHANNELS=channels, GROUP=group, BLOCK=64, BLOCK_GROUP=triton.next_power_of_2(group),
    )  # fmt: skip
    out = torch.empty_like(x, dtype=torch.float32) if into_float32 else x
    _normalise[(blocks, n)](
        x, sizes, group_means, group_scales, weight, bias, out, height, width, num_groups,
        CHANNELS=channels, GROUP=group, BLOCK_CELLS=_CELLS, BLOCK_CHANNELS=block_channels, num_warps=8,
    )  # fmt: skip
    return out
