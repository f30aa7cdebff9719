"""The bounds of every latency histogram, the servers' and the gateway's: one set, so that all of them add up.

Six a decade, from 1 ms to 70 s (the gateway gives up after 60 s): neighbours differ by 1.3 to 1.7, and a quantile read
from a histogram is wrong by less than that. What one would set as an objective (50 ms, 0.1 s,
0.2 s, 0.5 s, 1 s, 2 s, 3 s, 5 s, 10 s) is a bound, so that the share of images within it is counted, not estimated.
"""

from __future__ import annotations

SECONDS = tuple(round(10.0**decade * step, 4) for decade in range(-3, 2) for step in (1, 1.5, 2, 3, 5, 7))
"""Upper bounds in seconds, rising; what is longer than the last counts in `+Inf` only."""
INFINITE = "+Inf"


def label_of(seconds: float) -> str:
    """The value of a bucket's label `le`, written as Prometheus 3 and its Python client write it: `0.05`, `1.0`."""
    return str(float(seconds))
