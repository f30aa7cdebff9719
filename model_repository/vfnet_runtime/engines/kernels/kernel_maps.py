"""What the kernels in Triton's language have in common: maps with channels last, and which of their cells are valid."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


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
