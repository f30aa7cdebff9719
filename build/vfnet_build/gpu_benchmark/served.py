"""Images a second through the whole served ensemble, real JPEGs in, at rising concurrency, uniform and mixed sizes."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from vfnet_build.engines import pytorch
from vfnet_build.gpu_benchmark.conditions import Conditions, stock_network
from vfnet_build.gpu_benchmark.pictures import jpegs
from vfnet_build.manifest import BuildOptions, Manifest
from vfnet_build.repository import write_repository
from vfnet_client.async_client import AsyncVFNetClient
from vfnet_gateway.benchmark.load import Call, Load, measure
from vfnet_serve.benchmark.detector_counts import detector_counts
from vfnet_serve.benchmark.served_repository import ServedRepository, serving
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.starting import SERVER_START_TIMEOUT

_UNIFORM = ((640, 480),)
_SECONDS_KEPT = 10
"""Of the time that is left, for what comes after a server that does not become ready."""


def served(conditions: Conditions) -> dict[str, object]:
    """Rates by concurrency for uniform and mixed sizes; batches, processor and GPU use at the highest.

    Raises:
        ServerError: the server does not become ready.
    """
    network = stock_network(conditions)
    repository = conditions.scratch / "repository"
    options = BuildOptions("torch", "f32" if conditions.rehearsal else "fp16")
    manifest = Manifest("", "bench-gpu", True, network.config.classes, options, "", {})
    write_repository(repository, network.config, manifest, lambda directory: pytorch.export(network, directory))
    found: dict[str, object] = {}
    with _server(conditions, repository) as server:
        found["seconds to ready"] = server.seconds_to_ready
        concurrencies = (2,) if conditions.rehearsal else (1, 4, 8, 16, 32, 64)
        for name, pictures in (("uniform", jpegs(conditions, _UNIFORM)), ("mixed", jpegs(conditions))):
            for callers in concurrencies:
                if conditions.seconds_left() < 20:
                    found["stopped early"] = "the time was up"
                    return found
                try:
                    found[f"{name}, {callers} in flight"] = _rate(conditions, server.endpoints, pictures, callers)
                except Exception as error:  # the rates before are worth having
                    found["stopped early"] = f"{name}, {callers} in flight: {type(error).__name__}: {error}"
                    return found
    return found


def _rate(conditions: Conditions, endpoints: Endpoints, pictures: list[bytes], callers: int) -> dict[str, float]:
    before, busy = detector_counts(endpoints), _Use(conditions)
    load = asyncio.run(_load(endpoints.grpc_url, pictures, callers, 2.0 if conditions.rehearsal else 5.0))
    after = detector_counts(endpoints)
    return {
        "images/s": load.rate,
        "p50 ms": 1e3 * load.percentile(50),
        "p99 ms": 1e3 * load.percentile(99),
        "images a batch": (after[0] - before[0]) / max(1, after[1] - before[1]),
    } | busy.finish()


async def _load(server: str, pictures: list[bytes], callers: int, seconds: float) -> Load:
    turn = itertools.cycle(pictures)
    async with AsyncVFNetClient(server) as client:

        async def call() -> None:
            await client.detect(next(turn))

        calls: list[Call] = [call] * callers
        return await measure(calls, seconds, warm_up=1.0)


def _server(conditions: Conditions, repository: Path) -> AbstractContextManager[ServedRepository]:
    options = [f"--triton={conditions.triton}"] if conditions.triton else []
    options += [] if conditions.on_gpu else ["--gpus=none"]
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TRITON_CACHE_DIR": str(conditions.scratch / "kernels"),  # with what the section before has compiled
    }
    timeout = min(SERVER_START_TIMEOUT, conditions.seconds_left() - _SECONDS_KEPT)
    return serving(repository, conditions.scratch, options, environment=environment, timeout=timeout)


class _Use:
    """How busy processor and GPU were: what is near 100 % is what limits."""

    def __init__(self, conditions: Conditions) -> None:
        self._gpu = conditions.on_gpu
        psutil.cpu_percent()

    def finish(self) -> dict[str, float]:
        """In percent, of all cores since the start, and of the GPU in its last second."""
        found = {"CPU %": psutil.cpu_percent()}
        if self._gpu:
            query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20).stdout.split()
            found["GPU %"] = float(answer[0]) if answer and answer[0].isdecimal() else float("nan")
        return found
