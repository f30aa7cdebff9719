"""The head's deformable convolutions for all pyramid levels in one launch, in Triton's language.

Alone, the coarser levels have too few positions to fill a GPU, and wait for each other. Here they fill the end of the
finest. Filters are shared by the levels, so that nothing else is read than would be.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels import deformable_kernel
from vfnet_runtime.engines.kernels.deformable_tiles import Tile, multiplies_in_kernel, tile_for
from vfnet_runtime.engines.kernels.gpu_facts import Capability, gpu_facts
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

_SIZES = ["images", "pitch", *(f"{side}_{level}" for side in ("height", "width", "cells") for level in range(LEVELS))]


@triton.jit(do_not_specialize=_SIZES)
def _deform_levels(
    x_0, x_1, x_2, x_3, x_4, predicted_0, predicted_1, predicted_2, predicted_3, predicted_4,
    sizes_0, sizes_1, sizes_2, sizes_3, sizes_4, out_0, out_1, out_2, out_3, out_4, weight, images, pitch,
    height_0, height_1, height_2, height_3, height_4, width_0, width_1, width_2, width_3, width_4,
    cells_0, cells_1, cells_2, cells_3, cells_4,
    CHANNELS: tl.constexpr, OUT_CHANNELS: tl.constexpr, STAR: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """With STAR offsets are those of boxes, what comes out is rectified and zero in the padding; else neither."""
    block = tl.program_id(0)
    first_1, first_2, first_3, first_4 = first_blocks(
        height_0, height_1, height_2, height_3, width_0, width_1, width_2, width_3, images, BLOCK_M
    )
    level = level_of(block, first_1, first_2, first_3, first_4)
    x, out = of_level(level, x_0, x_1, x_2, x_3, x_4), of_level(level, out_0, out_1, out_2, out_3, out_4)
    predicted = of_level(level, predicted_0, predicted_1, predicted_2, predicted_3, predicted_4)
    height = of_level(level, height_0, height_1, height_2, height_3, height_4)
    width = of_level(level, width_0, width_1, width_2, width_3, width_4)
    cells = of_level(level, cells_0, cells_1, cells_2, cells_3, cells_4)
    positions = images * height * width
    position = (block - of_level(level, 0, first_1, first_2, first_3, first_4)) * BLOCK_M + tl.arange(0, BLOCK_M)
    target = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    alive, wanted = position < positions, target < OUT_CHANNELS
    image, place = position // (height * width), position % (height * width)
    total = deformable_kernel._sums(
        x, image.to(tl.int64) * (height * width), predicted + position.to(tl.int64) * pitch, weight, alive,
        place // width, place % width, target, wanted, 0, 1, 1, 1, height, width, cells,
        CHANNELS, 1, 1, 3, STAR == 0, STAR, PRECISION, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    if STAR:
        sizes = of_level(level, sizes_0, sizes_1, sizes_2, sizes_3, sizes_4)
        valid = is_valid(position, positions, sizes, height, width)
        total = tl.where(valid[:, None], tl.maximum(total, 0.0), 0.0)
    at = position[:, None].to(tl.int64) * OUT_CHANNELS + target[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=alive[:, None] & wanted[None, :])


def takes(
    maps: Sequence[Tensor], predictions: Sequence[Tensor], weight: Tensor, capability: Capability | None = None
) -> bool:
    """Whether the kernel knows these: 3x3, one group of filters and of offsets, predictions with channels last."""
    capability = capability or gpu_facts(maps[0].device).capability
    return (
        len(maps) <= LEVELS
        and multiplies_in_kernel(capability, maps[0].dtype)
        and tuple(weight.shape[2:]) == (3, 3)
        and all(deformable_kernel.takes_star(x, weight) for x in maps)
        and 0 not in (pitches := _pitches(predictions))
        and len(pitches) == 1
    )


def _pitches(predictions: Sequence[Tensor]) -> set[float]:
    """Elements from one cell to the next of [N, C, H, W], along each axis that has a next; 0: channels are not last."""
    found = set[float]()
    for prediction in predictions:
        n, _, height, width = prediction.shape
        axes = ((width, 3, 1), (height, 2, width), (n, 0, width * height))
        found |= {prediction.stride(axis) / cells for length, axis, cells in axes if length > 1}
        found |= {0.0} if prediction.stride(1) != 1 else set()
    return found


def deform_levels(
    maps: Sequence[Tensor],
    predictions: Sequence[Tensor],
    weight: Tensor,
    *,
    strides: Sequence[int] = (),
    sizes: Sequence[Tensor] = (),
) -> list[Tensor]:
    """Deformable convolution of each level's map [N, C, H, W]; see `takes`.

    Args:
        predictions: [N, 27, H, W] offsets and logits of masks, whose result is neither rectified nor masked; with
            `strides` of the levels, powers of two, float32 [N, 4, H, W] distances whose `star_dcn_offset` are the
            offsets, and what comes out is rectified, zero in the padding and float32.
        sizes: int32 [N, 2], valid height and width of each level; with `strides`.
    """
    maps, weight = [channels_last(x) for x in maps], channels_last(weight)
    first = maps[0]
    capability, multiprocessors = gpu_facts(first.device)
    (n, channels), out_channels = first.shape[:2], len(weight)
    dtype = torch.float32 if strides else first.dtype
    outs = [
        torch.empty((n, out_channels, *x.shape[2:]), dtype=dtype, device=x.device, memory_format=torch.channels_last)
        for x in maps
    ]
    positions = [n * x.shape[2] * x.shape[3] for x in maps]
    tile: Tile = tile_for(capability, first.dtype, channels, out_channels, sum(positions), multiprocessors)
    grid = (sum(triton.cdiv(each, tile.positions) for each in positions), triton.cdiv(out_channels, tile.outputs))
    _deform_levels[grid](
        *for_levels(maps, first),
        *for_levels(predictions, predictions[0]),
        *for_levels(sizes or predictions, (sizes or predictions)[0]),
        *for_levels(outs, outs[0]),
        weight,
        n,
        int(*_pitches(predictions)),
        *heights_and_widths(maps),
        *for_levels([1.0 / stride for stride in strides], 1.0),
        CHANNELS=channels,
        OUT_CHANNELS=out_channels,
        STAR=int(bool(strides)),
        PRECISION="ieee" if first.dtype == torch.float32 else "tf32",
        BLOCK_M=tile.positions,
        BLOCK_N=tile.outputs,
        BLOCK_K=tile.channels,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return outs
