"""What goes wrong: processes killed, or stopped for a while, alone and two at a time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations

from deployment import MODELS, ROLES

KILL, PAUSE = "kill -9", "SIGSTOP"
PAUSES_S = (0.5, 2.0, 5.0, 15.0, 60.0)
GOALS_S = {**dict.fromkeys(MODELS, 4.0), "triton": 12.0, "serve": 12.0, "gateway": 2.0, "supervisor": 12.0}
"""Seconds until a killed process is back and everybody is answered again, on two idle cores with the demo checkpoint.

What takes Triton along (`serve` is its parent) may take as long as Triton."""


@dataclass(frozen=True)
class Blow:
    """One process, and what is done to it."""

    role: str
    what: str
    seconds: float = 0.0
    """Until SIGCONT, of a pause."""

    def __str__(self) -> str:
        return f"{self.what} {self.role}" + (f" for {self.seconds:g} s" if self.what == PAUSE else "")


@dataclass(frozen=True)
class Fault:
    """One blow, or two of which the second comes a little later."""

    blows: tuple[Blow, ...]
    apart: float = 0.0
    """Seconds between the two."""

    def __str__(self) -> str:
        later = f", {self.apart:.1f} s later " if self.apart else " and "
        return later.join(str(blow) for blow in self.blows)

    @property
    def goal(self) -> float:
        """Seconds to heal; of a pause, from its beginning and with what it takes by itself."""
        longest = max(GOALS_S[blow.role] + _pause_of(blow) for blow in self.blows)
        return longest + self.apart + (GOALS_S["triton"] if len(self.blows) > 1 else 0.0)


def _pause_of(blow: Blow) -> float:
    """Seconds that pass before anybody acts. A `vfnet serve` that is stopped while its Triton serves is left alone."""
    return blow.seconds if blow.role == "serve" else min(blow.seconds, 3.0)


def every_fault(roles: tuple[str, ...], seed: int) -> list[Fault]:
    """Each process killed and stopped for each time, alone; then each pair, what and when drawn at random."""
    dice = random.Random(seed)
    alone = [Fault((Blow(role, KILL),)) for role in roles]
    alone += [Fault((Blow(role, PAUSE, seconds),)) for role in roles for seconds in PAUSES_S]
    dice.shuffle(alone)
    pairs = []
    for first, second in combinations(roles, 2):
        blows = [_drawn(role, dice) for role in (first, second)]
        dice.shuffle(blows)
        pairs.append(Fault(tuple(blows), dice.choice((0.0, 0.0, round(dice.uniform(0.2, 3.0), 1)))))
    # The process that was killed last, killed again while its replacement loads.
    again = [Fault((Blow(role, KILL), Blow(role, KILL)), 1.2) for role in roles if role in (*MODELS, "triton")]
    dice.shuffle(pairs)
    return [*alone, *pairs, *again]


def few_faults(roles: tuple[str, ...]) -> list[Fault]:
    """For every day: one of each kind."""
    found = [
        Fault((Blow("vfnet_postprocess", KILL),)),
        Fault((Blow("vfnet_preprocess", PAUSE, 5.0),)),
        Fault((Blow("gateway", KILL),)),
        Fault((Blow("triton", KILL),)),
    ]
    return [fault for fault in found if all(blow.role in roles for blow in fault.blows)]


def _drawn(role: str, dice: random.Random) -> Blow:
    if dice.random() < 0.6:
        return Blow(role, KILL)
    return Blow(role, PAUSE, dice.choice((2.0, 5.0, 15.0)))


def in_order(roles: dict[str, int]) -> tuple[str, ...]:
    """The roles that there are, in the usual order."""
    return tuple(role for role in ROLES if roles.get(role))
