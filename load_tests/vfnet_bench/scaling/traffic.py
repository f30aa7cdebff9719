"""Who asks when: rates over time, and arrivals of a Poisson process with such a rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rate = Callable[[float], float]
"""Images a second, at a second."""
DAY = 86_400.0
_NIGHT_SHARE = 0.15
"""Of the day's peak, at its quietest hour."""
_QUIETEST = 4.0
"""Hour."""
_RUSH_SECONDS, _RUSH_TIMES = 180.0, 2.0
_RUSH_HOURS = (2.5, 9.25, 13.0)
_WANDERING_SECONDS, _WANDERING_SHARE = 300.0, 0.08
"""How slowly and how far the rate wanders about its curve."""


def day(peak: float, seed: int) -> Rate:
    """A day of one time zone: quiet at four, busy from ten to eight in the evening, wandering, three rushes of twice as
    much for three minutes.

    Args:
        peak: images a second of the curve; with wandering and rushes it may be more than twice that.
    """
    random = np.random.default_rng(seed)
    wandering = [0.0]
    keeps = 0.8
    for _ in range(int(DAY / _WANDERING_SECONDS) + 1):
        step = random.normal(0.0, _WANDERING_SHARE * math.sqrt(1 - keeps**2))
        wandering.append(keeps * wandering[-1] + step)

    def rate(at: float) -> float:
        hour = at / 3600.0
        bell = (1.0 - math.cos(2 * math.pi * (hour - _QUIETEST) / 24.0)) / 2.0
        curve = _NIGHT_SHARE + (1 - _NIGHT_SHARE) * min(1.0, 1.25 * bell)
        position = at / _WANDERING_SECONDS
        low, share = int(position), position % 1.0
        wanders = (1 - share) * wandering[low] + share * wandering[min(low + 1, len(wandering) - 1)]
        rushes = any(0 <= at - 3600.0 * start < _RUSH_SECONDS for start in _RUSH_HOURS)
        return max(0.0, peak * curve * (1.0 + wanders) * (_RUSH_TIMES if rushes else 1.0))

    return rate


def burst(before: float, during: float, begins: float, ends: float) -> Rate:
    """One rate, and another for a while."""
    return lambda at: during if begins <= at < ends else before


def steady(images_per_second: float) -> Rate:
    """Always the same."""
    return lambda _at: images_per_second


def arrivals(rate: Rate, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """When images come, in order: Poisson in every second with that second's rate."""
    random = np.random.default_rng(seed)
    starts = np.arange(math.ceil(seconds), dtype=np.float64)
    numbers = random.poisson([rate(start) for start in starts])
    times = np.repeat(starts, numbers) + random.random(int(numbers.sum()))
    times.sort()
    return times[times < seconds]
