"""When requests of an open loop arrive: at a rate that does not wait for answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, spread evenly however many there are."""
_starts = count()


def arrivals(start: float, rate: float, *, poisson: bool) -> Iterator[float]:
    """Times of one user's requests, without end.

    Args:
        start: when the user came, in seconds of any clock.
        rate: requests per second.
        poisson: exponential gaps, of which any number of users together make a Poisson process; else equal gaps, and
            the users spread evenly over one gap.
    """
    if poisson:
        at = start
        while True:
            at += random.expovariate(rate)
            yield at
    phase = (next(_starts) * _GOLDEN) % 1.0
    for number in count():
        yield start + (number + phase) / rate
