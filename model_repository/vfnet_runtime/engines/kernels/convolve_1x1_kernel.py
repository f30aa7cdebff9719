"""A 1x1 convolution with what follows it, in Triton's language: bias, residual, ReLU and mask before the one rounding.

Apart, the convolution's result is written, rounded, and read again: twice its bytes, and half of what half precision
loses in a backbone.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfnet_runtime.engines.kernels.deformable_tiles import Tile, multiplies_in_kernel
from vfnet_runtime.engines.kernels.gpu_facts import Capability, gpu_facts
from vfnet_runtime.engines.kernels.kernel_maps import channels_last, is_valid

_FEWEST_CHANNELS = 16
TILES = (Tile(128, 128, 32, 8, 3), Tile(128, 64, 32, 8, 3), Tile(64, 64, 32, 4, 3))
"""Those that `tile_for` chooses from."""
_BLOCKS_EACH = 2
"""A GPU that gets fewer blocks than this for each of its multiprocessors is given smaller ones."""


@triton.jit(do_not_specialize=["positions", "height", "width", "out_height", "out_width"])
def _convolve_1x1(
    x, weight, bias, residual, sizes, out, positions, height, width, out_height, out_width,
    CHANNELS: tl.constexpr, OUT_CHANNELS: tl.constexpr, STRIDE: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
    HAS_SIZES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    # Neighbouring programs take the same positions: what they read of the map is in the second-level cache.
    blocks: tl.constexpr = (OUT_CHANNELS + BLOCK_N - 1) // BLOCK_N
    position = tl.program_id(0) // blocks * BLOCK_M + tl.arange(0, BLOCK_M)
    target = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    alive, wanted = position < positions, target < OUT_CHANNELS
    cell = position.to(tl.int64)
    if STRIDE > 1:
        image, place = position // (out_height * out_width), position % (out_height * out_width)
        row, column = place // out_width * STRIDE, place % out_width * STRIDE
        cell = image.to(tl.int64) * (height * width) + row * width + column
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(0, CHANNELS, BLOCK_K):
        channel = start + tl.arange(0, BLOCK_K)
        # Where channels come by BLOCK_K the compiler sees that all are known.
        known = (channel < CHANNELS) | (CHANNELS % BLOCK_K == 0)
        values = tl.load(
            x + cell[:, None] * CHANNELS + channel[None, :], mask=alive[:, None] & known[None, :], other=0.0
        )
        filters = tl.load(
            weight + target[None, :] * CHANNELS + channel[:, None], mask=wanted[None, :] & known[:, None], other=0.0
        )
        total = tl.dot(values, filters, total)
    total += tl.load(bias + target, mask=wanted, other=0.0)[None, :]
    at = position[:, None].to(tl.int64) * OUT_CHANNELS + target[None, :]
    inside = alive[:, None] & wanted[None, :]
    if HAS_RESIDUAL:
        total += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    total = tl.maximum(total, 0.0)
    if HAS_SIZES:
        total = tl.where(is_valid(position, positions, sizes, out_height, out_width)[:, None], total, 0.0)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


def takes(x: Tensor, weight: Tensor, capability: Capability | None = None) -> bool:
    """Whether the kernel knows this kind: one group of 1x1 filters in half precision, where it has matrix code."""
    capability = capability or gpu_facts(x.device).capability
    return (
        x.dtype != torch.float32
        and multiplies_in_kernel(capability, x.dtype)
        and tuple(weight.shape[2:]) == (1, 1)
        and weight.shape[1] == x.shape[1] >= _FEWEST_CHANNELS
    )


def tile_for(outputs: int, positions: int, multiprocessors: int) -> Tile:
    """Large enough that little is read twice, small enough that every multiprocessor has work; nothing here was timed.

    Args:
        outputs: channels.
        positions: of the output, all images together.
        multiprocessors: of the GPU.
    """
    large = TILES[0] if outputs >= TILES[0].outputs else TILES[1]
    blocks = triton.cdiv(positions, large.positions) * triton.cdiv(outputs, large.outputs)
    return large if blocks >= _BLOCKS_EACH * multiprocessors else TILES[2]


def convolve_1x1(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    residual: Tensor | None,
    sizes: Tensor | None,
    tile: Tile | None = None,
) -> Tensor:
    """See `network_operations.convolve_1x1_and_rectify`.

    Args:
        sizes: int32 [N, 2], valid height and width of the output.
        tile: another than `tile_for` would choose.
    """
    x = channels_last(x)
    n, channels, height, width = x.shape
    out_channels, out_height, out_width = len(weight), -(-height // stride), -(-width // stride)
    out = torch.empty(
        (n, out_channels, out_height, out_width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    positions = n * out_height * out_width
    tile = tile or tile_for(out_channels, positions, gpu_facts(x.device).multiprocessors)
    _convolve_1x1[(triton.cdiv(positions, tile.positions) * triton.cdiv(out_channels, tile.outputs),)](
        x,
        channels_last(weight),
        bias,
        x if residual is None else channels_last(residual),
        x if sizes is None else sizes,
        out,
        positions,
        height,
        width,
        out_height,
        out_width,
        CHANNELS=channels,
        OUT_CHANNELS=out_channels,
        STRIDE=stride,
        HAS_RESIDUAL=residual is not None,
        HAS_SIZES=sizes is not None,
        BLOCK_M=tile.positions,
        BLOCK_N=tile.outputs,
        BLOCK_K=tile.channels,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out
