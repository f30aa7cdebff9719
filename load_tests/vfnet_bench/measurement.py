"""Values, their medians and quartiles, and ratios of what was measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Quartiles:
    """A median and the quartiles around it."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Target:
    """A bound that a median should keep."""

    limit: float
    at_most: bool
    """Else at least."""

    def is_met(self, value: float) -> bool:
        """Whether `value` keeps it."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


@dataclass(frozen=True)
class Measurement:
    """One row of the result."""

    name: str
    unit: str
    """Empty for a ratio."""
    values: tuple[float, ...]
    """One per round, in order; or a single one."""
    target: Target | None = None

    def is_met(self) -> bool | None:
        """Whether the median keeps the target; None where there is none."""
        return None if self.target is None else self.target.is_met(quartiles(self.values).median)

    def to_json(self) -> dict[str, Any]:
        """Every value, and what follows from them."""
        spread = quartiles(self.values)
        document: dict[str, Any] = {
            "name": self.name,
            "unit": self.unit or "ratio",
            "median": spread.median,
            "quartiles": [spread.lower, spread.upper],
            "values": list(self.values),
        }
        if self.target is not None:
            document["target"] = {"at_most" if self.target.at_most else "at_least": self.target.limit}
            document["met"] = self.is_met()
        return document


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of at least one value; between two values linearly (method 7 of Hyndman and Fan, NumPy's default)."""
    lower, median, upper = np.quantile(np.asarray(values, np.float64), (0.25, 0.5, 0.75))
    return Quartiles(float(lower), float(median), float(upper))


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where 95 % of the medians lie that drawing as many of the values again and again gives.

    The draws are the same each time (a bootstrap of percentiles, 4000 draws).
    """
    drawn = np.random.default_rng(0).choice(np.asarray(values, np.float64), (4000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)


def ratios(name: str, over: Measurement, under: Measurement, target: Target | None) -> Measurement:
    """`over / under`, round by round: a slow minute of the machine slows both, and cancels.

    Raises:
        ValueError: the two were not measured in the same rounds.
    """
    values = tuple(above / below for above, below in zip(over.values, under.values, strict=True))
    return Measurement(name, "", values, target)
