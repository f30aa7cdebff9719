"""Bilinear resize of bytes in Triton's language, equal to OpenCV's bit for bit.

OpenCV (4.11, `INTER_LINEAR` on uint8) computes in fixed point: weights of 11 bits, rows first, then columns of what was
shifted right by 4, and two more roundings. Halving both sides exactly is done otherwise: the mean of four. Weights are
computed on the host, a few KB of them, so that here everything is in integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

_ROWS, _COLUMNS = 4, 128
_WEIGHT = 2048
"""OpenCV's INTER_RESIZE_COEF_SCALE."""


# Kernels of their own for sizes by 16 would not be faster.
@triton.jit(do_not_specialize=["width", "new_height", "new_width", "canvas_height", "canvas_width"])
def _resize(
    source, rows, columns, out, width, new_height, new_width, canvas_height, canvas_width,
    HALVES: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
):  # fmt: skip
    y = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    at = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    x, channel = at // 3, at % 3
    inside = (y < new_height)[:, None] & (x < new_width)[None, :]
    on_canvas = (y < canvas_height)[:, None] & (at < canvas_width * 3)[None, :]
    if HALVES:
        corner = source + (2 * y[:, None] * width + 2 * x[None, :]) * 3 + channel[None, :]
        total = tl.load(corner, mask=inside, other=0).to(tl.int32)
        total += tl.load(corner + 3, mask=inside, other=0).to(tl.int32)
        total += tl.load(corner + 3 * width, mask=inside, other=0).to(tl.int32)
        total += tl.load(corner + 3 * width + 3, mask=inside, other=0).to(tl.int32)
        value = (total + 2) >> 2
    else:
        # A row of each table: the first neighbour, the second, and the weights of both.
        left = tl.load(columns + 4 * x, mask=x < new_width, other=0)
        right = tl.load(columns + 4 * x + 1, mask=x < new_width, other=0)
        left_weight = tl.load(columns + 4 * x + 2, mask=x < new_width, other=0)
        right_weight = tl.load(columns + 4 * x + 3, mask=x < new_width, other=0)
        top = tl.load(rows + 4 * y, mask=y < new_height, other=0)
        bottom = tl.load(rows + 4 * y + 1, mask=y < new_height, other=0)
        top_weight = tl.load(rows + 4 * y + 2, mask=y < new_height, other=0)
        bottom_weight = tl.load(rows + 4 * y + 3, mask=y < new_height, other=0)
        left_at, right_at = (left * 3 + channel)[None, :], (right * 3 + channel)[None, :]
        upper, lower = source + top[:, None] * (width * 3), source + bottom[:, None] * (width * 3)
        above = tl.load(upper + left_at, mask=inside, other=0).to(tl.int32) * left_weight[None, :]
        above += tl.load(upper + right_at, mask=inside, other=0).to(tl.int32) * right_weight[None, :]
        below = tl.load(lower + left_at, mask=inside, other=0).to(tl.int32) * left_weight[None, :]
        below += tl.load(lower + right_at, mask=inside, other=0).to(tl.int32) * right_weight[None, :]
        value = (top_weight[:, None] * (above >> 4)) >> 16
        value += (bottom_weight[:, None] * (below >> 4)) >> 16
        value = (value + 2) >> 2
    value = tl.where(inside, value, 0)
    to = out + y[:, None].to(tl.int64) * (canvas_width * 3) + at[None, :]
    tl.store(to, value.to(tl.uint8), mask=on_canvas)


def weights(size: int, new_size: int, *, ends_alone: bool) -> NDArray[Any]:
    """One side's neighbours and their weights, as OpenCV computes them in float32 and rounds them.

    Args:
        size, new_size: in pixels, before and after.
        ends_alone: beyond the outermost pixels' centres the outermost pixel counts alone (OpenCV's columns); else it
            counts twice (its rows), which may round otherwise.

    Returns:
        int32 [new_size, 4]: first and second neighbour, and 2048ths of each.
    """
    place = ((np.arange(new_size) + 0.5) * (1.0 / (new_size / size)) - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int32)
    share = place - first.astype(np.float32)
    if ends_alone:
        beyond = (first < 0) | (first >= size - 1)
        share[beyond] = 0
    neighbours = np.stack([first, first + 1], axis=1).clip(0, size - 1)
    shares = np.stack([np.float32(1) - share, share], axis=1) * np.float32(_WEIGHT)
    return np.concatenate([neighbours, np.rint(shares).astype(np.int32)], axis=1)


def halves(size: tuple[int, int], new_size: tuple[int, int]) -> bool:
    """Whether both sides are halved exactly."""
    return size == (2 * new_size[0], 2 * new_size[1])


def resize(source: Tensor, rows: Tensor, columns: Tensor, new_size: tuple[int, int], out: Tensor) -> None:
    """Resize one image onto its canvas, zero beyond it.

    Args:
        source: uint8 [height, width, 3], contiguous.
        rows, columns: `weights` of height and width, on the same device.
        new_size: height and width of the resized image.
        out: uint8 [canvas height, canvas width, 3], contiguous, written to.
    """
    (height, width), (canvas_height, canvas_width) = source.shape[:2], out.shape[:2]
    grid = (triton.cdiv(canvas_height, _ROWS), triton.cdiv(3 * canvas_width, _COLUMNS))
    _resize[grid](
        source, rows, columns, out, width, *new_size, canvas_height, canvas_width,
        HALVES=halves((height, width), new_size), BLOCK_ROWS=_ROWS, BLOCK_COLUMNS=_COLUMNS,
    )  # fmt: skip


def resize_bytes(image: NDArray[Any], new_size: tuple[int, int], out: Tensor) -> None:
    """`resize` of an image on the host, for whom it need not be quick."""
    tables = (
        weights(image.shape[0], new_size[0], ends_alone=False),
        weights(image.shape[1], new_size[1], ends_alone=True),
    )
    rows, columns, source = (torch.from_numpy(each).to(out.device) for each in (*tables, image))
    resize(source, rows, columns, new_size, out)
