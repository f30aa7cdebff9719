"""The latest images as counts: a bounded window, which holds no image and no value of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

import numpy as np

from vfnet_profile.bins import Bins, NameBins
from vfnet_profile.distances import cramers_v, population_stability_index
from vfnet_profile.features import Observation
from vfnet_profile.profile import Histogram, Profile

_BLOCKS = 10
"""Of which a window is made: one is dropped at a time, so that it holds between nine and ten tenths of its size."""
LEAST_IMAGES = 100
"""Fewer say nothing: an effect is not told of before."""
_LEAST_VALUES = 50
"""Likewise of one feature: images without boxes say little about boxes."""
OLDEST_S = 24 * 3600.0
"""What is older is dropped, however few images came since."""


class _Block:
    def __init__(self, bins: Mapping[str, Bins], began: float) -> None:
        self.began, self.images = began, 0
        self.counts = {feature: [0] * len(each) for feature, each in bins.items()}


@dataclass(frozen=True)
class Effect:
    """How far the window is from the reference in one feature."""

    cramers_v: float
    psi: float


class Window:
    """Counts of the latest images, in the bins of a reference.

    Args:
        size: images; at least `LEAST_IMAGES`.
        clock: seconds.
    """

    def __init__(self, reference: Profile, size: int, clock: Callable[[], float] = monotonic) -> None:
        self.reference, self._size, self._clock = reference, max(size, LEAST_IMAGES), clock
        self._bins = reference.bins
        self._blocks: deque[_Block] = deque()

    @property
    def images(self) -> int:
        """That are in it now."""
        return sum(block.images for block in self._blocks)

    def add(self, observation: Observation) -> list[tuple[str, int]]:
        """Count one image; features and bins in which it has counted."""
        now = self._clock()
        self._drop(now)
        if not self._blocks or self._blocks[-1].images * _BLOCKS >= self._size:
            self._blocks.append(_Block(self._bins, now))
            if len(self._blocks) > _BLOCKS:
                self._blocks.popleft()
        block = self._blocks[-1]
        block.images += 1
        placed = []
        for feature, bins in self._bins.items():
            if isinstance(bins, NameBins):
                places = [bins.index(label) for label in observation.labels or ()]
            else:
                places = [bins.index(value) for value in observation.numbers.get(feature, ())]
            for place in places:
                block.counts[feature][place] += 1
                placed.append((feature, place))
        return placed

    def effects(self) -> dict[str, Effect]:
        """By feature, of those of which enough is known."""
        self._drop(self._clock())
        if self.images < LEAST_IMAGES:
            return {}
        found = {}
        for feature, expected in self.reference.histograms.items():
            counts = np.sum([block.counts[feature] for block in self._blocks], axis=0, dtype=np.float64)
            if counts.sum() >= _LEAST_VALUES:
                both = (expected.design_effect, expected.design_effect)
                found[feature] = Effect(
                    cramers_v(expected.counts, counts, both), population_stability_index(expected.counts, counts)
                )
        return found

    def _drop(self, now: float) -> None:
        while self._blocks and now - self._blocks[0].began > OLDEST_S:
            self._blocks.popleft()


def as_profile(reference: Profile, counts: Mapping[str, Mapping[str, float]], images: int) -> Profile:
    """Counts by feature and name of the bin, as metrics tell them, as a profile in the reference's bins."""
    histograms = {}
    for feature, expected in reference.histograms.items():
        by_name = counts.get(feature, {})
        found = np.array([by_name.get(name, 0.0) for name in expected.bins.names], np.float64)
        if found.sum():
            histograms[feature] = Histogram(expected.bins, found, expected.design_effect)
    return Profile(images, histograms, reference.score_from)
