"""What the network on a GPU could compute otherwise, with the same answers but for rounding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelChoices:
    """Chosen by arithmetic; nothing was timed, and `vfnet bench gpu --only tuning` compares each."""

    convolve_in_one_pass: bool = True
    """1x1 convolutions by a kernel of ours, with bias, residual, ReLU and mask; else cuDNN's, and a pass after it."""
    levels_together: bool = True
    """Each step of the head for all pyramid levels in one launch, where it is a kernel of ours."""
    overlap_levels: bool = False
    """The head's coarser levels beside the finest, on a stream of their own."""


MOST_LEVELS = 5
"""Pyramid levels that a kernel of ours takes at once."""
DEFAULT_CHOICES = KernelChoices()
