"""How many users there are over a run: constant, in steps, or with a spike."""

from __future__ import annotations

import math

SHAPES = ("constant", "steps", "spike")
_STEPS = 5
_SPIKE = (0.4, 0.6)
"""Where in the run it is."""


def users_at(shape: str, users: int, share: float) -> int:
    """How many of `users` there are when the `share` 0..1 of the run is over."""
    if shape == "steps":
        return max(1, math.ceil(users * min(_STEPS, int(share * _STEPS) + 1) / _STEPS))
    if shape == "spike" and not _SPIKE[0] <= share < _SPIKE[1]:
        return max(1, math.ceil(users / 10))
    return users
