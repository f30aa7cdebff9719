"""Tests whether two samples of images are of one kind. What is drawn at random is an image, not a box.

The boxes of one image resemble each other. A test that takes them for independent, as a plain chi-square or
Kolmogorov-Smirnov test does, finds drift in two halves of one data set far more often than it says: docs/drift.md has
figures. Here features of boxes are tested by exchanging whole images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from vfnet_profile.bins import NumberBins

Counts = npt.NDArray[np.float64]
Statistic = Callable[[Counts, Counts], Counts]
"""Of [arrangements, bins] counts of the first and of the second sample: [arrangements] distances."""
PERMUTATIONS = 1999
"""So that p is 0.0005 at the least, which leaves room for the correction for seven features."""
_FINE_BINS = 200
_AT_A_TIME = 250
"""Permutations: their memory is this times the number of images."""


def distance_of_shares(rows: npt.NDArray[np.float64], is_first: npt.NDArray[np.bool_]) -> float:
    """p of Pearson's chi-square statistic of a table with two rows, by exchanging images.

    Args:
        rows: [images, bins] counts of both samples.
        is_first: [images] those of the first.
    """

    def statistic(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        totals = np.stack([first.sum(axis=1), second.sum(axis=1)])
        pooled = (first + second) / np.maximum(totals.sum(axis=0), 1)[:, None]
        chi = np.zeros(len(first))
        for counts, total in zip((first, second), totals, strict=True):
            expected = pooled * total[:, None]
            chi += ((counts - expected) ** 2 / np.where(expected > 0, expected, 1)).sum(axis=1)
        return chi

    return _by_exchange(rows, is_first, statistic)


def distance_of_numbers(values: list[npt.NDArray[np.float64]], is_first: npt.NDArray[np.bool_]) -> float:
    """p of the Kolmogorov-Smirnov distance, by exchanging images.

    Args:
        values: of each image, the numbers of its boxes.
        is_first: [images] those of the first sample.
    """
    everything = np.concatenate(values)
    edges = np.unique(np.quantile(everything, np.linspace(0, 1, _FINE_BINS + 1)[1:-1], method="inverted_cdf"))
    bins = NumberBins(tuple(edges.tolist()))
    rows = np.stack([bins.count(each.tolist()) for each in values])

    def statistic(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        one, other = (each.cumsum(axis=1) / np.maximum(each.sum(axis=1, keepdims=True), 1) for each in (first, second))
        return np.asarray(np.abs(one - other).max(axis=1))

    return _by_exchange(rows, is_first, statistic)


def distance_of_images(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """p of the Kolmogorov-Smirnov test, of one number an image: these are independent."""
    return float(stats.ks_2samp(first, second, method="asymp").pvalue)


def distance_of_histograms(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], design_effects: tuple[float, float]
) -> float:
    """p of the chi-square test with Rao and Scott's correction, where there are only counts.

    Args:
        first, second: [bins] counts, neither of them all 0.
        design_effects: of each, see `vfnet_profile.distances.design_effect`.
    """
    used = first + second > 0
    if used.sum() < 2:
        return 1.0
    table = np.stack([first[used], second[used]])
    statistic = float(stats.chi2_contingency(table, correction=False).statistic)
    # The difference of two shares varies by the sum of what each varies: of the smaller sample the design effect
    # counts most.
    n, m = float(first.sum()), float(second.sum())
    together = (design_effects[0] / n + design_effects[1] / m) / (1 / n + 1 / m)
    return float(stats.chi2.sf(statistic / together, int(used.sum()) - 1))


def smallest_found(
    bins: int, totals: tuple[float, float], design_effects: tuple[float, float], alpha: float, power: float = 0.8
) -> float:
    """Cramér's V from which on a chi-square test of such counts finds a difference four times in five."""
    degrees = max(1, bins - 1)
    critical = float(stats.chi2.isf(alpha, degrees))
    low, high = 0.0, 10.0 * critical + 100
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if stats.ncx2.sf(critical, degrees, middle) >= power else (middle, high)
    spread = design_effects[0] / totals[0] + design_effects[1] / totals[1]
    return float(min(1.0, np.sqrt(high * spread / 4)))


def _by_exchange(rows: npt.NDArray[np.float64], is_first: npt.NDArray[np.bool_], statistic: Statistic) -> float:
    """The share of exchanges, this arrangement among them, with a statistic at least as large."""
    exact = rows.astype(np.float32)  # whole numbers far below 2**24
    total = rows.sum(axis=0)

    def of(chosen: npt.NDArray[np.bool_]) -> Counts:
        first = (chosen.astype(np.float32) @ exact).astype(np.float64)
        return statistic(first, total - first)

    observed = float(of(is_first[None])[0])
    generator = np.random.default_rng(0)  # the same answer to the same question
    at_least, done = 0, 0
    while done < PERMUTATIONS:
        count = min(_AT_A_TIME, PERMUTATIONS - done)
        chosen = generator.permuted(np.repeat(is_first[None], count, axis=0), axis=1)
        at_least += int((of(chosen) >= observed * (1 - 1e-9)).sum())
        done += count
    return (1 + at_least) / (1 + PERMUTATIONS)
