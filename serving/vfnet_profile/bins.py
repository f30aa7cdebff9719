"""Into which bins the values of a feature are counted: of numbers by edges, of classes by names."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

OTHERS = "(other)"
"""The bin of the classes that the reference does not have."""
NUMBER_OF_BINS = 10
MOST_NAMES = 400
"""Classes with a bin of their own: LVIS' 1203 would be more series than a metrics server likes, the rest are others."""


@dataclass(frozen=True)
class NumberBins:
    """Numbers. Bin i holds those from edge i-1 on up to, not including, edge i."""

    edges: tuple[float, ...]
    """Rising."""

    def __len__(self) -> int:
        return len(self.edges) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Where each ends, exactly."""
        return (*map(repr, self.edges), "inf")

    def index(self, value: float) -> int:
        """The bin of a number."""
        return bisect_right(self.edges, value)

    def count(self, values: Iterable[float]) -> npt.NDArray[np.float64]:
        """[bins] counts."""
        places = np.searchsorted(self.edges, np.fromiter(values, np.float64), side="right")
        return np.bincount(places, minlength=len(self)).astype(np.float64)


@dataclass(frozen=True)
class NameBins:
    """Names, each its own bin; the last bin holds all others."""

    own: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.own) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of all bins."""
        return (*self.own, OTHERS)

    def index(self, name: str) -> int:
        """The bin of a name."""
        return self._places.get(name, len(self.own))

    def count(self, names: Iterable[str]) -> npt.NDArray[np.float64]:
        """[bins] counts."""
        return np.bincount([self.index(name) for name in names], minlength=len(self)).astype(np.float64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.own)}


Bins = NumberBins | NameBins


def even_bins(values: Sequence[float], number: int = NUMBER_OF_BINS) -> NumberBins:
    """Bins that hold about as much each, of values of the reference.

    A value that is very often there, such as the size of all photos of one camera, gets a bin of its own: what is a
    little larger or smaller than it always was, is seen then.
    """
    quantiles = np.quantile(np.asarray(values, np.float64), np.linspace(0, 1, number + 1)[1:-1], method="inverted_cdf")
    edges = set[float]()
    for value, times in zip(*np.unique(quantiles, return_counts=True), strict=True):
        edges.add(float(value))
        if times > 1 or number > len(set(values)):
            edges.add(math.nextafter(float(value), math.inf))
    return NumberBins(tuple(sorted(edges)))
