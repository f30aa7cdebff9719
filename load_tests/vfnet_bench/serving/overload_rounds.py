"""One round: what the server can do, then ten times that, then how it recovers, then batch beside interactive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import perf_counter

from vfnet_bench.load import Answer, call_at_rate, call_in_turn, percentile, rate, timed
from vfnet_bench.serving.triton_callers import BATCH, TritonCallers

_WARM_UP = 0.2
"""Of each load, which does not count."""
_IDLE_CALLS = 20
_PROBE_SECONDS = 5.0
"""In which the server should have recovered."""
_INTERACTIVE_SHARE = 0.1
"""Of the capacity, while batch callers take what they can."""


@dataclass(frozen=True)
class Plan:
    """What a person chooses."""

    seconds: float
    """Of each load; `_WARM_UP` of it does not count."""
    callers: int
    """Who ask in turn, when the capacity is measured, and of batch."""
    factor: float
    """Arrivals over capacity."""


@dataclass(frozen=True)
class Round:
    """Times in seconds."""

    idle_latency: float
    """Median of one caller, alone."""
    capacity: float
    """Images a second with callers in turn."""
    capacity_latency: float
    """Their median."""
    arrivals: float
    """A second, when there are too many."""
    goodput: float
    """Images a second answered then."""
    accepted_p50: float
    accepted_p99: float
    refused_p99: float
    """Until the refusal."""
    errors: int
    """Answers that were neither detections nor refusals."""
    callers_cores: float
    """What the callers themselves took of the machine meanwhile."""
    recovery: float
    """After the last arrival, until who asks is answered within twice the idle latency."""
    interactive_p50: float
    interactive_p99: float
    """While batch callers saturate the server."""
    interactive_refused: int
    batch: float
    """Images a second for batch callers beside them."""


async def measure_round(callers: TritonCallers, plan: Plan) -> Round:
    """All of it."""
    idle = percentile([(await timed(callers.call)).seconds for _ in range(_IDLE_CALLS)], 50)
    alone, window = await _counted(call_in_turn([callers.call] * plan.callers, plan.seconds), plan.seconds)
    capacity = rate(alone, window)

    started, spent = perf_counter(), _own_seconds()
    tasks = await call_at_rate(callers.call, plan.factor * capacity, plan.seconds)
    ended, spent = perf_counter(), _own_seconds() - spent
    probes = await call_in_turn([callers.call], _PROBE_SECONDS)  # a lone caller, who hardly adds to the backlog
    crowd = await asyncio.gather(*tasks)
    accepted = [answer.seconds for answer in crowd if answer.is_good]
    refused = [answer.seconds for answer in crowd if answer.status == 503]

    asked = call_at_rate(callers.call, _INTERACTIVE_SHARE * capacity, plan.seconds)
    batch_calls = [callers.of_priority(BATCH)] * plan.callers
    batch_run = _counted(call_in_turn(batch_calls, plan.seconds), plan.seconds)
    interactive_tasks, (batch, batch_window) = await asyncio.gather(asked, batch_run)
    interactive = await asyncio.gather(*interactive_tasks)
    late = [answer for answer in interactive if answer.sent >= batch_window[0]]
    return Round(
        idle_latency=idle,
        capacity=capacity,
        capacity_latency=percentile([answer.seconds for answer in alone if answer.is_good], 50),
        arrivals=len(tasks) / (ended - started),
        goodput=rate(crowd, (started + _WARM_UP * plan.seconds, ended)),
        accepted_p50=percentile(accepted, 50),
        accepted_p99=percentile(accepted, 99),
        refused_p99=percentile(refused, 99),
        errors=len(crowd) - len(accepted) - len(refused),
        callers_cores=spent / (ended - started),
        recovery=recovery(probes, ended, 2 * idle),
        interactive_p50=percentile([answer.seconds for answer in late if answer.is_good], 50),
        interactive_p99=percentile([answer.seconds for answer in late if answer.is_good], 99),
        interactive_refused=sum(not answer.is_good for answer in interactive),
        batch=rate(batch, batch_window),
    )


async def _counted(load: Awaitable[list[Answer]], seconds: float) -> tuple[list[Answer], tuple[float, float]]:
    """A load's answers, and the time in which they count."""
    started = perf_counter()
    answers = await load
    return answers, (started + _WARM_UP * seconds, started + seconds)


def recovery(probes: Sequence[Answer], ended: float, limit: float) -> float:
    """From when on every probe is answered within the limit; infinite if the last is not."""
    slow = [answer.sent for answer in probes if not answer.is_good or answer.seconds > limit]
    if not slow:
        return 0.0
    after = [answer.sent for answer in probes if answer.sent > max(slow)]
    return min(after) - ended if after else float("inf")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system
