"""Load on a server: a fixed number of callers in turn, or arrivals that wait for nobody; and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

GOOD = 200
Call = Callable[[], Awaitable[int | None]]
"""Asks for one image: HTTP's status, or None where whatever is not good is raised."""


@dataclass(frozen=True)
class Answer:
    """What became of one image."""

    sent: float
    """Seconds of `time.perf_counter`."""
    seconds: float
    """Until the answer."""
    status: int
    """HTTP's."""

    @property
    def is_good(self) -> bool:
        """Detected."""
        return self.status == GOOD

    @property
    def answered(self) -> float:
        """When, as `sent`."""
        return self.sent + self.seconds


@dataclass(frozen=True)
class Load:
    """What so many callers in turn measured."""

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
    """Let every caller call for `warm_up` seconds, then for `seconds` that count. Calls that fail raise."""
    begin = perf_counter() + warm_up
    answers = await call_in_turn(calls, warm_up + seconds)
    latencies = sorted(answer.seconds for answer in answers if answer.sent >= begin)
    came = sum(begin <= answer.answered < begin + seconds for answer in answers)
    return Load(len(calls), seconds, came, latencies)


async def call_in_turn(calls: Sequence[Call], seconds: float, pause: float = 0.05) -> list[Answer]:
    """Callers, each calling again as soon as it is answered, or `pause` seconds after it was refused."""
    end, answers = perf_counter() + seconds, list[Answer]()

    async def go_on(call: Call) -> None:
        while perf_counter() < end:
            answers.append(await timed(call))
            if not answers[-1].is_good:
                await asyncio.sleep(pause)

    await asyncio.gather(*(go_on(call) for call in calls))
    return answers


async def call_at_rate(call: Call, rate: float, seconds: float) -> list[asyncio.Task[Answer]]:
    """`rate` calls a second, whether or not earlier ones are answered; the last are still under way on return."""
    started, tasks = perf_counter(), list[asyncio.Task[Answer]]()
    while (elapsed := perf_counter() - started) < seconds:
        tasks += [asyncio.create_task(timed(call)) for _ in range(int(elapsed * rate) + 1 - len(tasks))]
        await asyncio.sleep(max(0.0, started + len(tasks) / rate - perf_counter()))
    return tasks


def rate(answers: Sequence[Answer], window: tuple[float, float]) -> float:
    """Images a second whose detections came in the window."""
    begin, end = window
    return sum(answer.is_good and begin <= answer.answered < end for answer in answers) / (end - begin)


def percentile(seconds: Sequence[float], percent: float) -> float:
    """Between two values linearly; NaN where there is nothing."""
    return float(np.percentile(seconds, percent)) if seconds else float("nan")


async def timed(call: Call) -> Answer:
    """One call."""
    sent = perf_counter()
    status = await call()
    return Answer(sent, perf_counter() - sent, GOOD if status is None else status)
