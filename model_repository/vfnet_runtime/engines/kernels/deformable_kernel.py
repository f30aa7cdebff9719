"""Deformable convolution in one kernel, in Triton's language: samples go from registers into the matrix units.

Sampling first and multiplying then would write and read nine times the map. Each program takes some positions of the
output and all (or 256) of its channels; per tap and some channels of the input it samples in float32, rounds to the
type of the map as a convolution's input would be, and multiplies with the filters into float32 sums.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.kernel_maps import channels_last, is_valid

_CHANNELS = 32
"""Of the input, at once."""
_SIZES = [
    "positions", "height", "width", "out_height", "out_width", "stride_n", "stride_c", "stride_y", "stride_x",
]  # fmt: skip
"""Of every pyramid level, canvas and batch others: kernels of their own, for those by 16, would not be faster."""


@triton.jit(do_not_specialize=_SIZES)
def _deform_conv(
    x, prediction, weight, bias, sizes, out,
    positions, height, width, out_height, out_width, stride_n, stride_c, stride_y, stride_x, stride, padding,
    CHANNELS: tl.constexpr, OUT_CHANNELS: tl.constexpr, KERNEL: tl.constexpr,
    MODULATED: tl.constexpr, HAS_BIAS: tl.constexpr, RECTIFY: tl.constexpr, HAS_SIZES: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    taps: tl.constexpr = KERNEL * KERNEL
    position = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    target = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    alive = position < positions
    image = position // (out_height * out_width)
    place = position % (out_height * out_width)
    row, column = place // out_width, place % out_width
    predicted = prediction + image.to(tl.int64) * stride_n + row * stride_y + column * stride_x
    first = image.to(tl.int64) * (height * width)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for tap in range(taps):
        y = tl.load(predicted + 2 * tap * stride_c, mask=alive, other=0.0).to(tl.float32)
        x_ = tl.load(predicted + (2 * tap + 1) * stride_c, mask=alive, other=0.0).to(tl.float32)
        y += (row * stride - padding + tap // KERNEL).to(tl.float32)
        x_ += (column * stride - padding + tap % KERNEL).to(tl.float32)
        inside = alive & (y > -1.0) & (y < height) & (x_ > -1.0) & (x_ < width)
        y, x_ = tl.where(inside, y, 0.0), tl.where(inside, x_, 0.0)
        top, left = tl.floor(y), tl.floor(x_)
        below, right = y - top, x_ - left
        above, beside = 1.0 - below, 1.0 - right
        if MODULATED:
            logit = tl.load(predicted + (2 * taps + tap) * stride_c, mask=alive, other=0.0).to(tl.float32)
            strength = 1.0 / (1.0 + tl.exp(-logit))
            above, below = above * strength, below * strength
        top_row, left_column = top.to(tl.int32), left.to(tl.int32)
        has_top, has_bottom = inside & (top_row >= 0), inside & (top_row + 1 < height)
        has_left, has_right = left_column >= 0, left_column + 1 < width
        corner = (first + top_row * width + left_column) * CHANNELS
        for start in range(0, CHANNELS, BLOCK_K):
            channel = start + tl.arange(0, BLOCK_K)
            at = x + corner[:, None] + channel[None, :]
            sample = (above * beside)[:, None] * tl.load(at, mask=(has_top & has_left)[:, None], other=0.0).to(
                tl.float32
            )
            sample += (above * right)[:, None] * tl.load(
                at + CHANNELS, mask=(has_top & has_right)[:, None], other=0.0
            ).to(tl.float32)
            sample += (below * beside)[:, None] * tl.load(
                at + width * CHANNELS, mask=(has_bottom & has_left)[:, None], other=0.0
            ).to(tl.float32)
            sample += (below * right)[:, None] * tl.load(
                at + (width + 1) * CHANNELS, mask=(has_bottom & has_right)[:, None], other=0.0
            ).to(tl.float32)
            # Filters lie in memory as [out_channels, taps, channels].
            filters = tl.load(
                weight + target[None, :] * (taps * CHANNELS) + tap * CHANNELS + channel[:, None],
                mask=(target < OUT_CHANNELS)[None, :],
                other=0.0,
            )
            total = tl.dot(sample.to(x.dtype.element_ty), filters, total, input_precision=PRECISION)
    if HAS_BIAS:
        total += tl.load(bias + target, mask=target < OUT_CHANNELS, other=0.0)[None, :]
    if RECTIFY:
        total = tl.maximum(total, 0.0)
    if HAS_SIZES:
        total = tl.where(is_valid(position, positions, sizes, out_height, out_width)[:, None], total, 0.0)
    at_out = out + position[:, None].to(tl.int64) * OUT_CHANNELS + target[None, :]
    tl.store(at_out, total.to(out.dtype.element_ty), mask=alive[:, None] & (target < OUT_CHANNELS)[None, :])


def takes(x: Tensor, prediction: Tensor, weight: Tensor, modulated: bool) -> bool:
    """Whether the kernel knows this kind: one group of filters and of offsets, a square kernel, channels by 32."""
    channels, kernel = x.shape[1], weight.shape[2]
    return (
        weight.shape[1] == channels
        and weight.shape[3] == kernel
        and prediction.shape[1] == (3 if modulated else 2) * kernel**2
        and channels % _CHANNELS == 0
    )


def deform_conv(
    x: Tensor,
    prediction: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    modulated: bool,
    rectify: bool,
    sizes: Tensor | None,
) -> Tensor:
    """See `network_operations.deform_conv_and_rectify`. `sizes`: int32 [N, 2], valid height and width of the output."""
    x, weight = channels_last(x), channels_last(weight)
    n, channels, height, width = x.shape
    out_channels, _, kernel, _ = weight.shape
    out_height, out_width = prediction.shape[2:]
    out = torch.empty((n, out_channels, out_height, out_width), dtype=x.dtype, device=x.device,
                      memory_format=torch.channels_last)  # fmt: skip
    positions = n * out_height * out_width
    exact = x.dtype == torch.float32
    block_m, block_n = (32, 64) if exact else (64, min(256, max(16, triton.next_power_of_2(out_channels))))
    grid = (triton.cdiv(positions, block_m), triton.cdiv(out_channels, block_n))
    _deform_conv[grid](
        x,
        prediction,
        weight,
        x if bias is None else bias,
        x if sizes is None else sizes,
        out,
        positions,
        height,
        width,
        out_height,
        out_width,
        *prediction.stride(),
        stride,
        padding,
        CHANNELS=channels,
        OUT_CHANNELS=out_channels,
        KERNEL=kernel,
        MODULATED=modulated,
        HAS_BIAS=bias is not None,
        RECTIFY=rectify,
        HAS_SIZES=sizes is not None,
        PRECISION="ieee" if exact else "tf32",
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=_CHANNELS if exact or channels % 64 else 64,
        num_warps=8 if block_n == 256 else 4,
        num_stages=2,
    )
    return out
