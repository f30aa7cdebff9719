"""Contestants take turns: what disturbs the machine for a while disturbs them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vfnet_bench.measurement import Measurement
from vfnet_bench.progress import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Contestant:
    """Something to measure once per round."""

    name: str
    unit: str
    measure: Callable[[], float]
    """Takes one value, in `unit`."""


def run_rounds(contestants: Sequence[Contestant], rounds: int, progress: Progress) -> list[Measurement]:
    """Measure everyone once per round, after one round that does not count.

    Returns:
        One measurement per contestant, in the order given, with one value per round.
    """
    values: list[list[float]] = [[] for _ in contestants]
    with progress.steps((rounds + 1) * len(contestants)):
        for number, index in turns(range(len(contestants)), rounds + 1):
            values[index].append(contestants[index].measure())
            progress.step()
            if all(len(column) == number + 1 for column in values):
                measured = zip(contestants, values, strict=True)
                shown = ", ".join(f"{c.name} {column[-1]:.3f} {c.unit}" for c, column in measured)
                progress.say(f"{f'round {number} of {rounds}' if number else 'warm-up'}: {shown}")
    return [Measurement(c.name, c.unit, tuple(column[1:])) for c, column in zip(contestants, values, strict=True)]


def turns(contestants: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Who is to be measured, one after the other: the number of the round, from 0, and the contestant."""
    for number in range(rounds):
        for index in turn_order(number, len(contestants)):
            yield number, contestants[index]


def turn_order(number: int, count: int) -> list[int]:
    """Indices 0..`count`-1 in round `number`: each round starts one further on, every other one runs backwards.

    Rotation alone would leave everyone the same predecessor, and what it left in the caches, in every round.
    """
    step = 1 if number % 2 == 0 else -1
    return [(number + step * offset) % count for offset in range(count)]
