"""How far two histograms are apart: numbers from 0, whatever the features are measured in."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
SMALL, MEDIUM, LARGE = 0.1, 0.3, 0.5
"""From which on Cramér's V of a table with two rows is a small, medium and large effect: Cohen, "Statistical Power
Analysis for the Behavioral Sciences" (1988), chapter 7, whose w it is."""
_JEFFREYS = 0.5
"""Added to every bin, so that an empty one has a logarithm."""


def cramers_v(first: Counts, second: Counts, design_effects: tuple[float, float] = (1.0, 1.0)) -> float:
    """Cramér's V between "which of the two" and "which bin": 0 the same, 1 no bin in common.

    Both histograms weigh the same, however much more is in one of them: else V would shrink with the difference. What
    chance alone gives on average is taken off before the root, as in Bergsma (2013), "A bias-correction for Cramér's V
    and Tschuprow's T".

    Args:
        first, second: [bins] counts.
        design_effects: of each: how many times as much its shares vary as if its entries were independent. The boxes of
            one image are not.

    Returns:
        NaN where one of them is empty.
    """
    total_first, total_second = float(first.sum()), float(second.sum())
    if not total_first or not total_second:
        return math.nan
    a, b = first / total_first, second / total_second
    used = a + b > 0
    squared = float(0.5 * ((a - b)[used] ** 2 / (a + b)[used]).sum())
    by_chance = (int(used.sum()) - 1) / 4 * (design_effects[0] / total_first + design_effects[1] / total_second)
    return math.sqrt(max(0.0, squared - by_chance))


def population_stability_index(first: Counts, second: Counts) -> float:
    """PSI, the sum of (b - a) ln(b / a): 0 the same. Rules of thumb call 0.1 and 0.25 some and much change.

    It has no upper end, and grows by chance alone where little was counted. NaN where one of them is empty.
    """
    if not first.sum() or not second.sum():
        return math.nan
    a, b = first + _JEFFREYS, second + _JEFFREYS
    a, b = a / a.sum(), b / b.sum()
    return float(((b - a) * np.log(b / a)).sum())


def design_effect(rows: Counts) -> float:
    """How many times as much the shares of bins vary as if all entries were independent of each other.

    The mean over bins, as Rao and Scott's first-order correction wants it ("The analysis of categorical data from
    complex sample surveys", 1981): what a chi-square statistic of these counts is divided by.

    Args:
        rows: [images, bins] counts. Images are taken for independent of each other.

    Returns:
        At least 1: 1 too where there is too little to tell.
    """
    images, total = int((rows.sum(axis=1) > 0).sum()), float(rows.sum())
    if images < 2:
        return 1.0
    shares = rows.sum(axis=0) / total
    used = shares > 0
    if used.sum() < 2:
        return 1.0
    residuals = rows - rows.sum(axis=1, keepdims=True) * shares
    variances = (residuals**2).sum(axis=0) * images / (images - 1) / total
    return max(1.0, float((variances[used] / shares[used]).sum() / (int(used.sum()) - 1)))
