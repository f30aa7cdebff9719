"""A fixed number of callers, each calling again as soon as it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """What so many callers measured."""

    callers: int
    seconds: float
    """That counted."""
    answers: int
    """That came while they did, whenever their calls began: a call may take longer than is measured."""
    latencies: list[float]
    """Seconds, of every call that began in them, sorted."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    def percentile(self, percent: float) -> float:
        """Seconds that so many percent of the calls took at most (nearest rank)."""
        rank = round(percent / 100 * (len(self.latencies) - 1))
        return self.latencies[rank]


async def measure(calls: Sequence[Call], seconds: float, warm_up: float) -> Load:
    """Let every caller call for `warm_up` seconds, then for `seconds` that count."""
    begin = perf_counter() + warm_up
    end = begin + seconds
    latencies: list[float] = []
    ends: list[float] = []

    async def call_on(call: Call) -> None:
        while (started := perf_counter()) < end:
            await call()
            ends.append(perf_counter())
            if started >= begin:
                latencies.append(ends[-1] - started)

    await asyncio.gather(*(call_on(call) for call in calls))
    return Load(len(calls), seconds, sum(begin <= each < end for each in ends), sorted(latencies))
