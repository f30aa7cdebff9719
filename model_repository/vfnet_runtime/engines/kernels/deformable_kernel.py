"""Deformable convolution in one kernel, in Triton's language: samples go from registers into the matrix units.

Sampling first and multiplying then would write and read nine times the map. Each program takes some positions of the
output and all (or 256) of the channels of one group; per tap and some channels of the input it samples in float32,
rounds to the type of the map as a convolution's input would be, and multiplies with the filters into float32 sums.

Where that language has no matrix instructions (`multiplies_in_kernel`) a second kernel writes the samples and cuBLAS
multiplies.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.deformable_tiles import Tile, multiplies_in_kernel, tile_for
from vfnet_runtime.engines.kernels.gpu_facts import Capability, gpu_facts
from vfnet_runtime.engines.kernels.kernel_maps import channels_last, is_valid

_FEWEST_CHANNELS = 16
"""Of the input that share filters and offsets: matrix instructions take no fewer."""
_SAMPLED = Tile(64, 0, 32, 4, 1)
"""Positions and channels that one program samples where it does not multiply."""
_SIZES = [
    "positions", "height", "width", "out_height", "out_width", "stride_n", "stride_c", "stride_y", "stride_x",
]  # fmt: skip
"""Of every pyramid level, canvas and batch others: kernels of their own, for those by 16, would not be faster."""


@triton.jit
def _locate(
    predicted, alive, row, column, tap, offset_group, stride_c, stride, padding, height, width, cells,
    KERNEL: tl.constexpr, OFFSET_GROUPS: tl.constexpr, MODULATED: tl.constexpr, STAR: tl.constexpr,
):  # fmt: skip
    """Where a tap lands: its upper left neighbour, the weights and the existence of rows and columns.

    With STAR `cells` is what a pixel of the input is in cells of the map: exact, for strides are powers of two.
    """
    taps: tl.constexpr = KERNEL * KERNEL
    if STAR:
        # `star_dcn_offset` in its order of arithmetic: left, top, right, bottom of the point in input pixels.
        down, across = tap // KERNEL - 1, tap % KERNEL - 1
        vertical = tl.load(predicted + tl.where(down < 0, 1, 3) * stride_c, mask=alive, other=0.0) * cells
        horizontal = tl.load(predicted + tl.where(across < 0, 0, 2) * stride_c, mask=alive, other=0.0) * cells
        y = tl.where(down == 0, 0.0, tl.where(down < 0, -vertical, vertical)) - down
        x_ = tl.where(across == 0, 0.0, tl.where(across < 0, -horizontal, horizontal)) - across
    else:
        offset = predicted + (offset_group * (2 * taps) + 2 * tap) * stride_c
        y = tl.load(offset, mask=alive, other=0.0).to(tl.float32)
        x_ = tl.load(offset + stride_c, mask=alive, other=0.0).to(tl.float32)
    y += (row * stride - padding + tap // KERNEL).to(tl.float32)
    x_ += (column * stride - padding + tap % KERNEL).to(tl.float32)
    inside = alive & (y > -1.0) & (y < height) & (x_ > -1.0) & (x_ < width)
    y, x_ = tl.where(inside, y, 0.0), tl.where(inside, x_, 0.0)
    top, left = tl.floor(y), tl.floor(x_)
    below, right = y - top, x_ - left
    above, beside = 1.0 - below, 1.0 - right
    if MODULATED:
        logits = predicted + (OFFSET_GROUPS * (2 * taps) + offset_group * taps + tap) * stride_c
        strength = 1.0 / (1.0 + tl.exp(-tl.load(logits, mask=alive, other=0.0).to(tl.float32)))
        above, below = above * strength, below * strength
    top_row, left_column = top.to(tl.int32), left.to(tl.int32)
    has_top, has_bottom = inside & (top_row >= 0), inside & (top_row + 1 < height)
    has_left, has_right = left_column >= 0, left_column + 1 < width
    return top_row * width + left_column, above, below, beside, right, has_top, has_bottom, has_left, has_right


@triton.jit
def _sample(
    x, corner, channel, known, above, below, beside, right, has_top, has_bottom, has_left, has_right, width,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """float32 [positions, channels]: four neighbours, weighted."""
    at = x + corner[:, None] + channel[None, :]
    known = known[None, :]
    sample = (above * beside)[:, None] * tl.load(at, mask=(has_top & has_left)[:, None] & known, other=0.0).to(
        tl.float32
    )
    sample += (above * right)[:, None] * tl.load(
        at + CHANNELS, mask=(has_top & has_right)[:, None] & known, other=0.0
    ).to(tl.float32)
    sample += (below * beside)[:, None] * tl.load(
        at + width * CHANNELS, mask=(has_bottom & has_left)[:, None] & known, other=0.0
    ).to(tl.float32)
    sample += (below * right)[:, None] * tl.load(
        at + (width + 1) * CHANNELS, mask=(has_bottom & has_right)[:, None] & known, other=0.0
    ).to(tl.float32)
    return sample


@triton.jit
def _sums(
    x, first, predicted, weight, alive, row, column, target, wanted, group, stride_c, stride, padding, height, width,
    cells,
    CHANNELS: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, KERNEL: tl.constexpr,
    MODULATED: tl.constexpr, STAR: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """float32 [positions, channels of the output]: samples times filters, of the images whose first cells are given."""
    taps: tl.constexpr = KERNEL * KERNEL
    group_channels: tl.constexpr = CHANNELS // GROUPS
    offset_channels: tl.constexpr = CHANNELS // OFFSET_GROUPS
    # Channels that share filters and offsets.
    part: tl.constexpr = min(group_channels, offset_channels)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for tap in range(taps):
        for part_start in tl.static_range(0, group_channels, part):
            offset_group = (group * group_channels + part_start) // offset_channels
            cell, above, below, beside, right, has_top, has_bottom, has_left, has_right = _locate(
                predicted, alive, row, column, tap, offset_group, stride_c, stride, padding, height, width, cells,
                KERNEL, OFFSET_GROUPS, MODULATED, STAR,
            )  # fmt: skip
            corner = (first + cell) * CHANNELS + group * group_channels
            for start in range(part_start, part_start + part, BLOCK_K):
                channel = start + tl.arange(0, BLOCK_K)
                # Where channels come by BLOCK_K the compiler sees that all are known.
                known = (channel < part_start + part) | (part % BLOCK_K == 0)
                sample = _sample(
                    x, corner, channel, known, above, below, beside, right, has_top, has_bottom, has_left, has_right,
                    width, CHANNELS,
                )  # fmt: skip
                # Filters lie in memory as [out_channels, taps, channels of a group].
                filters = tl.load(
                    weight + target[None, :] * (taps * group_channels) + tap * group_channels + channel[:, None],
                    mask=wanted[None, :] & known[:, None],
                    other=0.0,
                )
                total = tl.dot(sample.to(x.dtype.element_ty), filters, total, input_precision=PRECISION)
    return total


@triton.jit(do_not_specialize=_SIZES)
def _deform_conv(
    x, prediction, weight, bias, sizes, out,
    positions, height, width, out_height, out_width, stride_n, stride_c, stride_y, stride_x, stride, padding,
    CHANNELS: tl.constexpr, OUT_CHANNELS: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr,
    KERNEL: tl.constexpr, MODULATED: tl.constexpr, HAS_BIAS: tl.constexpr, RECTIFY: tl.constexpr,
    HAS_SIZES: tl.constexpr, STAR: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    group_outputs: tl.constexpr = OUT_CHANNELS // GROUPS
    blocks: tl.constexpr = (group_outputs + BLOCK_N - 1) // BLOCK_N
    group = tl.program_id(1) // blocks
    position = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    in_group = tl.program_id(1) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    target = group * group_outputs + in_group
    wanted = in_group < group_outputs
    alive = position < positions
    image = position // (out_height * out_width)
    place = position % (out_height * out_width)
    row, column = place // out_width, place % out_width
    predicted = prediction + image.to(tl.int64) * stride_n + row * stride_y + column * stride_x
    first = image.to(tl.int64) * (height * width)
    total = _sums(
        x, first, predicted, weight, alive, row, column, target, wanted, group, stride_c, stride, padding,
        height, width, 1.0 / max(STAR, 1),
        CHANNELS, GROUPS, OFFSET_GROUPS, KERNEL, MODULATED, STAR, PRECISION, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    if HAS_BIAS:
        total += tl.load(bias + target, mask=wanted, other=0.0)[None, :]
    if RECTIFY:
        total = tl.maximum(total, 0.0)
    if HAS_SIZES:
        total = tl.where(is_valid(position, positions, sizes, out_height, out_width)[:, None], total, 0.0)
    at_out = out + position[:, None].to(tl.int64) * OUT_CHANNELS + target[None, :]
    tl.store(at_out, total.to(out.dtype.element_ty), mask=alive[:, None] & wanted[None, :])


@triton.jit(do_not_specialize=_SIZES)
def _sample_columns(
    x, prediction, columns,
    positions, height, width, out_height, out_width, stride_n, stride_c, stride_y, stride_x, stride, padding,
    CHANNELS: tl.constexpr, GROUPS: tl.constexpr, OFFSET_GROUPS: tl.constexpr, KERNEL: tl.constexpr,
    MODULATED: tl.constexpr, STAR: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Writes [GROUPS, positions, taps, channels of a group]."""
    taps: tl.constexpr = KERNEL * KERNEL
    group_channels: tl.constexpr = CHANNELS // GROUPS
    part: tl.constexpr = min(group_channels, CHANNELS // OFFSET_GROUPS)
    tap, piece = tl.program_id(1), tl.program_id(2)
    position = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    alive = position < positions
    image = position // (out_height * out_width)
    place = position % (out_height * out_width)
    row, column = place // out_width, place % out_width
    predicted = prediction + image.to(tl.int64) * stride_n + row * stride_y + column * stride_x
    piece_start = piece * part
    cell, above, below, beside, right, has_top, has_bottom, has_left, has_right = _locate(
        predicted, alive, row, column, tap, piece_start // (CHANNELS // OFFSET_GROUPS), stride_c, stride, padding,
        height, width, 1.0 / max(STAR, 1), KERNEL, OFFSET_GROUPS, MODULATED, STAR,
    )  # fmt: skip
    corner = (image.to(tl.int64) * (height * width) + cell) * CHANNELS + piece_start
    group, in_group = piece_start // group_channels, piece_start % group_channels
    to = ((group * positions + position.to(tl.int64)) * taps + tap) * group_channels + in_group
    for start in range(0, part, BLOCK_K):
        channel = start + tl.arange(0, BLOCK_K)
        known = (channel < part) | (part % BLOCK_K == 0)
        sample = _sample(
            x, corner, channel, known, above, below, beside, right, has_top, has_bottom, has_left, has_right, width,
            CHANNELS,
        )  # fmt: skip
        at = columns + to[:, None] + channel[None, :]
        tl.store(at, sample.to(columns.dtype.element_ty), mask=alive[:, None] & known[None, :])


def takes(x: Tensor, prediction: Tensor, weight: Tensor, modulated: bool) -> bool:
    """Whether the kernels know this kind: a square kernel, and 16 or more channels that share filters and offsets."""
    channels, kernel = x.shape[1], weight.shape[2]
    groups = channels // weight.shape[1]
    offset_groups, rest = divmod(prediction.shape[1], (3 if modulated else 2) * kernel**2)
    if rest or weight.shape[3] != kernel or weight.shape[0] % groups or channels % offset_groups:
        return False
    shared, larger = sorted((weight.shape[1], channels // offset_groups))
    return shared >= _FEWEST_CHANNELS and larger % shared == 0


def takes_star(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels know this kind with the offsets of boxes: one group of 3x3 filters."""
    return x.shape[1] == weight.shape[1] >= _FEWEST_CHANNELS and tuple(weight.shape[2:]) == (3, 3)


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
    capability: Capability | None = None,
    tile: Tile | None = None,
    star: int = 0,
    into_float32: bool = False,
) -> Tensor:
    """See `network_operations.deform_conv_and_rectify`.

    Args:
        sizes: int32 [N, 2], valid height and width of the output.
        capability: of the GPU; None: that of `x`'s.
        tile: another than `tile_for` would choose.
        star: `prediction` are not offsets but distances, float32 [N, 4, H, W], whose offsets `star_dcn_offset` would
            compute, on a pyramid level of this stride (a power of two).
        into_float32: leave the sums unrounded, where it is one kernel.
    """
    x, weight = channels_last(x), channels_last(weight)
    own, multiprocessors = gpu_facts(x.device)
    capability = capability or own
    out_channels, group_channels, kernel, _ = weight.shape
    channels = x.shape[1]
    groups = channels // group_channels
    offset_groups = 1 if star else prediction.shape[1] // ((3 if modulated else 2) * kernel**2)
    shared = min(group_channels, channels // offset_groups)
    if not multiplies_in_kernel(capability, x.dtype):
        return _multiply_samples(
            x, prediction, weight, bias, stride, padding, modulated, rectify, sizes, offset_groups, star
        )
    out = _output(x, prediction, out_channels, torch.float32 if into_float32 else x.dtype)
    positions = len(x) * prediction.shape[2] * prediction.shape[3]
    tile = tile or tile_for(capability, x.dtype, shared, out_channels // groups, positions, multiprocessors)
    grid = (triton.cdiv(positions, tile.positions), groups * triton.cdiv(out_channels // groups, tile.outputs))
    _deform_conv[grid](
        x,
        prediction,
        weight,
        x if bias is None else bias,
        x if sizes is None else sizes,
        out,
        positions,
        *x.shape[2:],
        *prediction.shape[2:],
        *prediction.stride(),
        stride,
        padding,
        CHANNELS=channels,
        OUT_CHANNELS=out_channels,
        GROUPS=groups,
        OFFSET_GROUPS=offset_groups,
        KERNEL=kernel,
        MODULATED=modulated,
        HAS_BIAS=bias is not None,
        RECTIFY=rectify,
        HAS_SIZES=sizes is not None,
        STAR=star,
        PRECISION="ieee" if x.dtype == torch.float32 else "tf32",
        BLOCK_M=tile.positions,
        BLOCK_N=tile.outputs,
        BLOCK_K=tile.channels,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out


def _multiply_samples(
    x: Tensor,
    prediction: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    modulated: bool,
    rectify: bool,
    sizes: Tensor | None,
    offset_groups: int,
    star: int,
) -> Tensor:
    """`deform_conv` in three steps: samples, cuBLAS, and what follows in one pass."""
    from vfnet_runtime.engines.kernels.pointwise_kernel import add_and_rectify

    out_channels, group_channels, kernel, _ = weight.shape
    channels, taps = x.shape[1], kernel**2
    groups, shared = channels // group_channels, min(group_channels, channels // offset_groups)
    positions = len(x) * prediction.shape[2] * prediction.shape[3]
    columns = torch.empty((groups, positions, taps * group_channels), dtype=x.dtype, device=x.device)
    _sample_columns[(triton.cdiv(positions, _SAMPLED.positions), taps, channels // shared)](
        x,
        prediction,
        columns,
        positions,
        *x.shape[2:],
        *prediction.shape[2:],
        *prediction.stride(),
        stride,
        padding,
        CHANNELS=channels,
        GROUPS=groups,
        OFFSET_GROUPS=offset_groups,
        KERNEL=kernel,
        MODULATED=modulated,
        STAR=star,
        BLOCK_M=_SAMPLED.positions,
        BLOCK_K=_SAMPLED.channels,
        num_warps=_SAMPLED.warps,
        num_stages=_SAMPLED.stages,
    )
    out = _output(x, prediction, out_channels, x.dtype)
    # Channels last: [positions, out_channels] is what lies in memory.
    flat = out.permute(0, 2, 3, 1).view(positions, groups, out_channels // groups).transpose(0, 1)
    filters = weight.permute(0, 2, 3, 1).reshape(groups, out_channels // groups, taps * group_channels)
    if groups > 1:
        flat.copy_(columns @ filters.transpose(1, 2))
    else:
        torch.mm(columns[0], filters[0].T, out=flat[0])
    if bias is None and not rectify and sizes is None:
        return out
    return add_and_rectify(out, bias, None, sizes, rectify=rectify)


def _output(x: Tensor, prediction: Tensor, out_channels: int, dtype: torch.dtype) -> Tensor:
    shape = (len(x), out_channels, *prediction.shape[2:])
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)
