"""The simulated queue held against servers that run: the same arrivals at both, and what each makes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfnet_bench.http_callers import HTTPCallers
from vfnet_bench.load import call_in_turn, percentile, rate
from vfnet_bench.scaling.scenarios import Scenario, run_scenario
from vfnet_bench.scaling.simulated_service import GatewayLimits, ServerFigures
from vfnet_bench.scaling.traffic import arrivals, steady
from vfnet_load.http_requests import score_request

BATCH = 8
"""`--batch-size` of the servers: the detector without a network answers all images of a batch when the last is done."""
_LONE_CALLS, _CALLERS, _CAPACITY_SECONDS = 20, 16, 5.0
_REQUEST_SECONDS = 60.0
"""As the gateway's --timeout."""
_PERCENTS = (50, 95)


@dataclass(frozen=True)
class Held:
    """One load at so many servers. Latencies in seconds."""

    servers: int
    figures: ServerFigures
    """Of each of them."""
    load: float
    """Arrivals over what the servers can answer."""
    images: int
    failed: int
    measured: dict[str, float]
    """Mean and percentiles."""
    predicted: dict[str, float]
    """The same, of the same arrivals."""

    def error(self, name: str) -> float:
        """How far the prediction is off, as a share of what was measured."""
        return self.predicted[name] / self.measured[name] - 1.0


async def measure_figures(port: int, image: bytes, servers: int) -> ServerFigures:
    """What each of so many servers behind a gateway does: a lone caller, then as many as saturate all.

    Measured anew for each number of servers, because here they share the cores of one machine.
    """
    callers = HTTPCallers("127.0.0.1", port)
    request = callers.prepare(score_request(image))
    try:
        alone = await call_in_turn([lambda: callers.call(request)], 1.0)
        lone = percentile([answer.seconds for answer in alone[:_LONE_CALLS]], 50)
        began = time.perf_counter()
        crowd = await call_in_turn([lambda: callers.call(request)] * (_CALLERS * servers), _CAPACITY_SECONDS)
    finally:
        await callers.close()
    service = servers / rate(crowd, (began + 1.0, began + _CAPACITY_SECONDS))
    return ServerFigures(service, max(0.0, lone - service), BATCH)


async def hold(
    port: int, image: bytes, figures: ServerFigures, servers: int, load: float, seconds: float, seed: int
) -> Held:
    """Ask with Poisson arrivals at `load` of what the servers can do, and simulate the same."""
    images_per_second = load * servers / figures.service
    came = arrivals(steady(images_per_second), seconds, seed)
    latencies, failed = await _ask(port, image, came)
    scenario = Scenario("held", steady(images_per_second), seconds + _REQUEST_SECONDS, servers)
    run = run_scenario(scenario, figures, GatewayLimits(), None, came=came)
    return Held(servers, figures, load, len(came), failed, _summary(latencies), _summary(run.answers[:, 1]))


async def _ask(port: int, image: bytes, came: npt.NDArray[np.float64]) -> tuple[Sequence[float], int]:
    """Latencies from when each was due, and how many were not answered well."""
    callers = HTTPCallers("127.0.0.1", port)
    request = callers.prepare(score_request(image))
    began, latencies, failed = time.perf_counter(), list[float](), 0

    async def one(due: float) -> None:
        nonlocal failed
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                await callers.call(request)
            latencies.append(time.perf_counter() - began - due)
        except (RuntimeError, OSError, EOFError, TimeoutError):
            failed += 1

    try:
        async with asyncio.TaskGroup() as group:
            for due in came:
                await asyncio.sleep(max(0.0, began + float(due) - time.perf_counter()))
                group.create_task(one(float(due)))
    finally:
        await callers.close()
    return latencies, failed


def _summary(latencies: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    if not len(latencies):
        return dict.fromkeys(("mean", *(f"p{percent}" for percent in _PERCENTS)), float("nan"))
    percentiles = np.percentile(latencies, _PERCENTS)
    return {"mean": float(np.mean(latencies))} | {
        f"p{percent}": float(value) for percent, value in zip(_PERCENTS, percentiles, strict=True)
    }
