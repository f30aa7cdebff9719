"""Bias, residual, ReLU and mask in one pass, in Triton's language."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.kernel_maps import channels_last, is_valid

_CELLS, _CHANNELS = 16, 128


# Kernels of their own for sizes by 16 would not be faster.
@triton.jit(do_not_specialize=["cells", "height", "width"])
def _add_and_rectify(
    x, bias, residual, sizes, cells, height, width,
    CHANNELS: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, RECTIFY: tl.constexpr,
    HAS_SIZES: tl.constexpr, BLOCK_CELLS: tl.constexpr, BLOCK_CHANNELS: tl.constexpr,
):  # fmt: skip
    cell = tl.program_id(0) * BLOCK_CELLS + tl.arange(0, BLOCK_CELLS)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    at = cell[:, None].to(tl.int64) * CHANNELS + channel[None, :]
    inside = (cell < cells)[:, None] & (channel < CHANNELS)[None, :]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(bias + channel, mask=channel < CHANNELS, other=0.0)[None, :]
    if HAS_RESIDUAL:
        value += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    if RECTIFY:
        value = tl.maximum(value, 0.0)
    if HAS_SIZES:
        value = tl.where(is_valid(cell, cells, sizes, height, width)[:, None], value, 0.0)
    tl.store(x + at, value.to(x.dtype.element_ty), mask=inside)


def add_and_rectify(
    x: Tensor, bias: Tensor | None, residual: Tensor | None, sizes: Tensor | None, *, rectify: bool = True
) -> Tensor:
    """See `network_operations.add_and_rectify`; `x` is overwritten. `sizes`: int32 [N, 2], valid height and width."""
    x = channels_last(x)
    n, channels, height, width = x.shape
    cells = n * height * width
    grid = (triton.cdiv(cells, _CELLS), triton.cdiv(channels, _CHANNELS))
    _add_and_rectify[grid](
        x,
        x if bias is None else bias,
        x if residual is None else channels_last(residual),
        x if sizes is None else sizes,
        cells,
        height,
        width,
        CHANNELS=channels,
        HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None,
        RECTIFY=rectify,
        HAS_SIZES=sizes is not None,
        BLOCK_CELLS=_CELLS,
        BLOCK_CHANNELS=_CHANNELS,
    )
    return x
