"""Two sides compared feature by feature: a test, an effect size, and what of both is worth a person's time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from vfnet_drift import testing
from vfnet_drift.errors import DriftError
from vfnet_drift.side import Side
from vfnet_profile.bins import NameBins
from vfnet_profile.distances import SMALL, cramers_v, population_stability_index
from vfnet_profile.features import BOX_FEATURES, CLASS, FEATURES, MEANINGS
from vfnet_profile.profile import Histogram, Profile, name_bins, rows_of

ALPHA = 0.05
DRIFT, TRIFLING, SAME, TOO_FEW = "drift", "trifling", "same", "too few"
"""Verdicts: significant and large enough; significant and small; not significant; not tested."""
LEAST_IMAGES = 20
"""On each side: of fewer, no test says anything that a look at them does not."""
_LEAST_VALUES = 20


@dataclass(frozen=True)
class Numbers:
    """Of a feature that is a number, where both sides have the values themselves."""

    medians: tuple[float, float]
    ks: float
    """The Kolmogorov-Smirnov distance: the largest difference of the cumulative shares."""
    wasserstein: float
    """How far values would have to move on average, in the feature's unit."""
    cliffs_delta: float
    """How much more often a value of now is the larger of two than the smaller: -1 to 1. Cliff (1993), "Dominance
    statistics"."""


@dataclass(frozen=True)
class FeatureResult:
    """One feature."""

    feature: str
    expected: Histogram
    found: Histogram
    p: float | None = None
    """None: not tested."""
    q: float | None = None
    """`p`, corrected for the number of features tested (Benjamini and Hochberg)."""
    test: str = ""
    cramers_v: float = math.nan
    psi: float = math.nan
    smallest_found: float = math.nan
    """Cramér's V from which on such samples show a difference four times in five."""
    numbers: Numbers | None = None
    verdict: str = TOO_FEW
    remark: str = ""

    def shares(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """[bins] of the reference and of now, each together 1."""
        return self.expected.counts / self.expected.total, self.found.counts / self.found.total

    def in_words(self, most: int = 3) -> str:
        """What has changed, in a line."""
        if self.numbers is not None:
            before, now = self.numbers.medians
            return f"median {before:.4g} -> {now:.4g}"
        before_all, now_all = self.shares()
        bins = self.expected.bins
        order = np.argsort(-np.abs(now_all - before_all))[:most]
        parts = []
        for index in order:
            if before_all[index] == now_all[index]:
                continue
            if isinstance(bins, NameBins):
                name = bins.names[index]
            else:
                low = "-inf" if index == 0 else f"{bins.edges[index - 1]:.4g}"
                high = "inf" if index == len(bins.edges) else f"{bins.edges[index]:.4g}"
                name = f"[{low}, {high})"
            parts.append(f"{name} {before_all[index]:.1%} -> {now_all[index]:.1%}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes null."""
        bins = self.expected.bins
        scale = {"names": list(bins.names)} if isinstance(bins, NameBins) else {"edges": list(bins.edges)}
        numbers = self.numbers
        return {
            "feature": self.feature,
            "meaning": MEANINGS[self.feature],
            "verdict": self.verdict,
            "test": self.test,
            "p": self.p,
            "q": self.q,
            "cramers_v": _plain(self.cramers_v),
            "psi": _plain(self.psi),
            "smallest_found": _plain(self.smallest_found),
            "numbers": None
            if numbers is None
            else {
                "medians": list(numbers.medians),
                "kolmogorov_smirnov": numbers.ks,
                "wasserstein": numbers.wasserstein,
                "cliffs_delta": numbers.cliffs_delta,
            },
            "remark": self.remark,
            **scale,
            "reference_counts": self.expected.counts.tolist(),
            "current_counts": self.found.counts.tolist(),
        }


@dataclass(frozen=True)
class Comparison:
    """All features."""

    reference: Side
    current: Side
    results: tuple[FeatureResult, ...]
    left_out: Mapping[str, str]
    """Features that are not known on one side, and why."""
    alpha: float
    least_effect: float
    notes: tuple[str, ...]

    @property
    def drifted(self) -> tuple[FeatureResult, ...]:
        """The largest effect first."""
        found = (each for each in self.results if each.verdict == DRIFT)
        return tuple(sorted(found, key=lambda each: -each.cramers_v))

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.drifted:
            return f"Drift in {', '.join(each.feature for each in self.drifted)}."
        if all(each.verdict == TOO_FEW for each in self.results):
            return "Too few images to tell."
        return "No drift found."

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdict": self.verdict,
            "drifted": [each.feature for each in self.drifted],
            "reference": {"title": self.reference.title, "images": self.reference.images},
            "current": {"title": self.current.title, "images": self.current.images},
            "alpha": self.alpha,
            "least_effect": self.least_effect,
            "features": [each.to_json() for each in self.results],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }


def compare(reference: Side, current: Side, alpha: float = ALPHA, least_effect: float = SMALL) -> Comparison:
    """Test every feature that both sides have.

    Args:
        alpha: the false discovery rate: which share of the findings may be chance.
        least_effect: Cramér's V; a smaller difference is trifling, however sure it is.

    Raises:
        DriftError: there is nothing to compare.
    """
    expected, found = _profiles(reference, current)
    results, left_out = [], {}
    for feature in FEATURES:
        one, other = expected.histograms.get(feature), found.histograms.get(feature)
        if one is None or other is None:
            left_out[feature] = f"not known of the {'reference' if one is None else 'current'} images"
            continue
        results.append(_compare_one(reference, current, feature, one, other, alpha))
    if not results:
        raise DriftError(f"{reference.title} and {current.title} have no feature in common")
    results = _judged(results, alpha, least_effect)
    return Comparison(
        reference, current, tuple(results), left_out, alpha, least_effect, tuple(_notes(reference, current, results))
    )


def _profiles(reference: Side, current: Side) -> tuple[Profile, Profile]:
    """Of both, in the same bins."""
    expected = reference.to_profile()
    if current.profile is not None:
        return expected, current.profile
    assert current.observations is not None
    bins = expected.bins
    if reference.observations is not None:
        # Of both together: classes of one side alone would tell the sides apart by chance. A test that exchanges images
        # is right only where nothing else depends on which side an image is of.
        names = name_bins([*reference.observations, *current.observations])
        if names is not None:
            bins[CLASS] = names
        expected = Profile.counted(reference.observations, bins, reference.score_from)
    return expected, Profile.counted(current.observations, bins, current.score_from)


def _compare_one(
    reference: Side, current: Side, feature: str, expected: Histogram, found: Histogram, alpha: float
) -> FeatureResult:
    design_effects = (expected.design_effect, found.design_effect)
    effect = cramers_v(expected.counts, found.counts, design_effects)
    psi = population_stability_index(expected.counts, found.counts)
    totals = (expected.total, found.total)
    used = int((expected.counts + found.counts > 0).sum())
    smallest = testing.smallest_found(used, totals, design_effects, alpha)
    result = FeatureResult(feature, expected, found, None, None, "", effect, psi, smallest)
    is_small = min(reference.images, current.images) < LEAST_IMAGES
    if is_small or min(totals) < _LEAST_VALUES:
        unit = "images" if is_small else "boxes"
        numbers = (reference.images, current.images) if is_small else tuple(map(int, totals))
        remark = f"{numbers[0]} and {numbers[1]} {unit} are too few for a test"
        return replace(result, remark=remark, numbers=_numbers(reference, current, feature))
    p, test = _test(reference, current, feature, expected, found)
    return replace(result, p=p, test=test, numbers=_numbers(reference, current, feature))


def _test(reference: Side, current: Side, feature: str, expected: Histogram, found: Histogram) -> tuple[float, str]:
    first, second = reference.observations, current.observations
    if first is None or second is None:
        effects = (expected.design_effect, found.design_effect)
        return testing.distance_of_histograms(expected.counts, found.counts, effects), "chi-square, Rao-Scott"
    is_first = np.repeat([True, False], [len(first), len(second)])
    both = [*first, *second]
    if feature == CLASS:
        rows = rows_of(both, CLASS, expected.bins)
        return testing.distance_of_shares(rows, is_first), "chi-square, images exchanged"
    if feature in BOX_FEATURES:
        values = [np.array(each.numbers.get(feature, ()), np.float64) for each in both]
        return testing.distance_of_numbers(values, is_first), "Kolmogorov-Smirnov, images exchanged"
    return testing.distance_of_images(reference.values(feature), current.values(feature)), "Kolmogorov-Smirnov"


def _numbers(reference: Side, current: Side, feature: str) -> Numbers | None:
    if feature == CLASS or reference.observations is None or current.observations is None:
        return None
    first, second = reference.values(feature), current.values(feature)
    if not len(first) or not len(second):
        return None
    larger = float(stats.mannwhitneyu(second, first, method="asymptotic").statistic) if len(first) else 0.0
    return Numbers(
        (float(np.median(first)), float(np.median(second))),
        float(stats.ks_2samp(first, second, method="asymp").statistic),
        float(stats.wasserstein_distance(first, second)),
        2 * larger / (len(first) * len(second)) - 1,
    )


def _judged(results: Sequence[FeatureResult], alpha: float, least_effect: float) -> list[FeatureResult]:
    tested = [each for each in results if each.p is not None]
    corrected = stats.false_discovery_control([each.p for each in tested]) if tested else []
    q_of = {each.feature: float(q) for each, q in zip(tested, corrected, strict=True)}
    judged = []
    for each in results:
        q = q_of.get(each.feature)
        if q is None:
            judged.append(each)
            continue
        verdict = SAME if q > alpha else DRIFT if each.cramers_v >= least_effect else TRIFLING
        remark = each.remark
        if verdict == SAME and each.smallest_found > 0.3:
            remark = f"so few images show only large differences (from {each.smallest_found:.2f} on)"
        judged.append(replace(each, q=q, verdict=verdict, remark=remark))
    return judged


def _notes(reference: Side, current: Side, results: Sequence[FeatureResult]) -> list[str]:
    notes = [*reference.notes, *current.notes]
    if reference.boxes_are_drawn != current.boxes_are_drawn and any(each.feature == CLASS for each in results):
        drawn = reference if reference.boxes_are_drawn else current
        notes.append(
            f"the boxes of {drawn.title} are annotations, those of the other side a model's: a difference in boxes may "
            "be what the model misses, and no drift"
        )
    if reference.score_from != current.score_from:
        notes.append(
            f"boxes count from a score of {reference.score_from:g} on in one and {current.score_from:g} in the other: "
            "give --score-from"
        )
    return notes


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
