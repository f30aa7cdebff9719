"""What each of two models gets of a machine that both are asked for too much of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from vfnet_bench.load import Answer, Call, call_at_rate, call_in_turn, percentile, rate

_CALLERS = 6
_WARM_UP = 0.2
"""Of each load, which does not count."""
_MODEST = 0.1
"""Of what it does alone."""


@dataclass(frozen=True)
class SharedModel:
    """One of the two. Rates in images a second, times in seconds."""

    alone: float
    """With callers in turn."""
    together: float
    """While both are asked for too much."""
    accepted_p99: float
    errors: int
    """Answers that were neither detections nor refusals."""
    modest: float
    """While it is asked for `_MODEST`, and the other for too much."""
    modest_refused: int
    modest_p99: float

    @property
    def share(self) -> float:
        """Of the machine."""
        return self.together / self.alone


@dataclass(frozen=True)
class SharingRound:
    """Both."""

    heavy: SharedModel
    light: SharedModel


async def measure_sharing(heavy: Call, light: Call, factor: float, seconds: float) -> SharingRound:
    """Each alone; both at `factor` times that; and each in turn modest beside the other."""
    calls = (heavy, light)
    alone = [await _in_turn(call, seconds) for call in calls]
    rates = [factor * each for each in alone]
    both = await _at_rates(calls, rates, seconds)
    modest = [
        (await _at_rates(calls, [_MODEST * alone[n] if n == each else rates[n] for n in (0, 1)], seconds))[each]
        for each in (0, 1)
    ]
    return SharingRound(*(shared_model(alone[n], *both[n], *modest[n]) for n in (0, 1)))


def shared_model(
    alone: float, answers: list[Answer], together: float, modest: list[Answer], modest_rate: float
) -> SharedModel:
    """Of its answers in a crowd and while it was modest, and the rates of the good ones of each."""
    return SharedModel(
        alone=alone,
        together=together,
        accepted_p99=percentile([answer.seconds for answer in answers if answer.is_good], 99),
        errors=sum(not answer.is_good and answer.status != 503 for answer in answers),
        modest=modest_rate,
        modest_refused=sum(not answer.is_good for answer in modest),
        modest_p99=percentile([answer.seconds for answer in modest if answer.is_good], 99),
    )


async def _in_turn(call: Call, seconds: float) -> float:
    started = perf_counter()
    answers = await call_in_turn([call] * _CALLERS, seconds)
    return rate(answers, (started + _WARM_UP * seconds, started + seconds))


async def _at_rates(calls: tuple[Call, Call], rates: list[float], seconds: float) -> list[tuple[list[Answer], float]]:
    """Of each, all answers and how many a second were good."""
    started = perf_counter()
    tasks = await asyncio.gather(*(call_at_rate(call, each, seconds) for call, each in zip(calls, rates, strict=True)))
    window = (started + _WARM_UP * seconds, started + seconds)
    answers = [list(await asyncio.gather(*of_one)) for of_one in tasks]
    return [(of_one, rate(of_one, window)) for of_one in answers]
