"""Filters rounded to half precision so that their errors cancel, which costs nothing when the network runs.

What a filter is multiplied with is smooth and, behind a ReLU, never negative: neighbouring cells are alike. So of a
filter's rounding errors it is their sum that reaches the result, and rounding each weight to its nearest neighbour
leaves that sum to chance. Here a few weights are rounded to their other neighbour, those that lie about halfway first,
until the errors of each filter add up to next to nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Filters in `dtype`; each weight becomes one of its two neighbours there.

    Args:
        weight: float32 [out_channels, channels of a group, kh, kw]. Errors cancel over the taps of one channel; of 1x1
            filters over the channels.

    Returns:
        The same shape, in memory as `weight` is.
    """
    if dtype not in (torch.float16, torch.bfloat16):
        return weight.to(dtype)
    rows = weight.flatten(2).flatten(0, 1) if weight[0, 0].numel() > 1 else weight.flatten(1)
    nearest = rows.to(dtype)
    other = torch.where(nearest.float() == rows, nearest, _neighbour(nearest, away=rows.abs() > nearest.float().abs()))
    error = nearest.float() - rows
    # NaN where weights are too large for `dtype`: those stay infinite, as nearest rounding has them.
    change = torch.where(torch.isfinite(error), other.float() - nearest.float(), 0.0)
    total = torch.where(torch.isfinite(error), error, 0.0).sum(1, keepdim=True)
    gain = change * -total.sign()
    # What the squared error grows by, for each part of the sum that is taken away.
    cost = torch.where(gain > 0, ((error + change) ** 2 - error**2) / gain, torch.inf)
    cost, order = cost.sort(dim=1)
    gain = torch.where(cost < torch.inf, gain.gather(1, order), 0.0)
    left = total.abs() - gain.cumsum(1)
    flipped = (gain > 0) & (left.abs() < (left + gain).abs()) & (left + gain > 0)
    flipped = torch.zeros_like(rows, dtype=torch.bool).scatter(1, order, flipped)
    return torch.where(flipped, other, nearest).view(weight.shape).contiguous(memory_format=_layout(weight))


def _neighbour(values: Tensor, away: Tensor) -> Tensor:
    """The next numbers in half precision, `away` from zero or towards it: as integers they follow each other."""
    bits = values.view(torch.int16)
    return torch.where(away, bits + 1, bits - 1).view(values.dtype)


def _layout(weight: Tensor) -> torch.memory_format:
    if weight.is_contiguous():
        return torch.contiguous_format
    return torch.channels_last
