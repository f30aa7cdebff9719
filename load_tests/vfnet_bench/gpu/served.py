"""Images a second through the whole served ensemble, real JPEGs in, at rising concurrency, uniform and mixed sizes."""

from __future__ import annotations

import asyncio
import itertools
import os
import site
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from vfnet_bench.gpu.bare_engine import bare_rate
from vfnet_bench.gpu.conditions import Conditions
from vfnet_bench.gpu.pictures import UNIFORM, jpegs
from vfnet_bench.gpu.processor_use import ProcessorUse
from vfnet_bench.gpu.talkative import talkative_stock_network
from vfnet_bench.load import Call, Load, measure
from vfnet_bench.served_repository import ServedRepository, serving
from vfnet_bench.serving.detector_counts import detector_counts
from vfnet_bench.serving.mixed_sizes import SHARES, measure_mixed_round
from vfnet_build.engines import pytorch
from vfnet_build.repository import write_repository
from vfnet_client.async_client import AsyncVFNetClient
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.starting import SERVER_START_TIMEOUT

Keep = Callable[[dict[str, object]], None]
"""Takes what has been measured so far."""
_MIXED_CALLERS = 32
_SECONDS_KEPT = 10
"""Of the time that is left, for what comes after a server that does not become ready."""


def served(conditions: Conditions, keep: Keep) -> dict[str, object]:
    """Rates by concurrency for uniform sizes, beside the bare engine's; mixed sizes against what each alone makes.

    Raises:
        ServerError: the server does not become ready.
    """
    network = talkative_stock_network(conditions)
    found: dict[str, object] = {"bare engine, images/s": bare_rate(conditions, network, _precision(conditions))}
    keep(found)
    with _server(conditions, _repository(conditions, network), instances=1) as server:
        found["seconds to ready"] = server.seconds_to_ready
        concurrencies = (2,) if conditions.rehearsal else (1, 4, 8, 16, 32, 64)
        _rates(conditions, server.endpoints, concurrencies, found, keep)
        if conditions.seconds_left() > 20 + 7 * _seconds(conditions):
            found |= _mixed(conditions, server.endpoints)
    return found


def two_instances(conditions: Conditions, keep: Keep) -> dict[str, object]:
    """The same rates with two instances of the network on the GPU: one computes while the other is between batches.

    Raises:
        ServerError: the server does not become ready.
    """
    repository = _repository(conditions, talkative_stock_network(conditions))
    found: dict[str, object] = {}
    with _server(conditions, repository, instances=2) as server:
        found["seconds to ready"] = server.seconds_to_ready
        _rates(conditions, server.endpoints, (2,) if conditions.rehearsal else (16, 32, 64), found, keep)
    return found


def _precision(conditions: Conditions) -> str:
    return "f32" if conditions.rehearsal else "fp16"


def _seconds(conditions: Conditions) -> float:
    """Of each load."""
    return 1.0 if conditions.rehearsal else 4.0


def _repository(conditions: Conditions, network: VFNet) -> Path:
    options = BuildOptions("torch", _precision(conditions))
    manifest = Manifest("", "bench-gpu", True, network.config.classes, options, "", {})
    repository = conditions.scratch / "repository"
    write_repository(repository, network.config, manifest, lambda directory: pytorch.export(network, directory))
    return repository


def _rates(
    conditions: Conditions, endpoints: Endpoints, concurrencies: tuple[int, ...], found: dict[str, object], keep: Keep
) -> None:
    """Add a row for each to `found`, and the best one's share of the bare engine's rate where that is known."""
    best = 0.0
    for callers in concurrencies:
        if conditions.seconds_left() < 20:
            found["stopped early"] = "the time was up"
            return
        row = _rate(conditions, endpoints, jpegs(conditions, UNIFORM), callers)
        found[f"{callers} in flight"] = row
        best = max(best, row["images/s"])
        bare = found.get("bare engine, images/s")
        if isinstance(bare, float):
            found["served / bare engine"] = best / bare
        keep(found)


def _rate(conditions: Conditions, endpoints: Endpoints, pictures: list[bytes], callers: int) -> dict[str, float]:
    before = detector_counts(endpoints)
    with ProcessorUse(conditions) as use:
        load, boxes = asyncio.run(_load(endpoints.grpc_url, pictures, callers, _seconds(conditions)))
    after = detector_counts(endpoints)
    p50, p99 = (load.percentile(percent) if load.latencies else float("nan") for percent in (50, 99))
    return {
        "images/s": load.rate,
        "p50 ms": 1e3 * p50,
        "p99 ms": 1e3 * p99,
        "images a batch": (after[0] - before[0]) / max(1, after[1] - before[1]),
        "boxes an image": boxes,
    } | use.percent


async def _load(server: str, pictures: list[bytes], callers: int, seconds: float) -> tuple[Load, float]:
    """The load, and how many boxes an image had on average."""
    turn, boxes = itertools.cycle(pictures), list[int]()
    async with AsyncVFNetClient(server) as client:

        async def call() -> None:
            boxes.append(len((await client.detect(next(turn))).boxes))

        calls: list[Call] = [call] * callers
        return await measure(calls, seconds, warm_up=1.0), sum(boxes) / max(1, len(boxes))


def _mixed(conditions: Conditions, endpoints: Endpoints) -> dict[str, object]:
    """As `vfnet bench mixed`: sizes differ in what they cost, so the mixture is held against each alone."""
    photos = dict(zip(SHARES, jpegs(conditions, tuple(SHARES)), strict=True))
    callers = 2 if conditions.rehearsal else _MIXED_CALLERS
    mixed = asyncio.run(measure_mixed_round(endpoints, photos, callers, _seconds(conditions)))
    alone = {f"{width} x {height} alone, images/s": rate for (width, height), rate in mixed.alone.items()}
    return {
        **alone,
        "mixed, images/s": mixed.mixed,
        "mixed / what the sizes alone make of it": mixed.ratio,
        "images a batch, mixed": mixed.batch,
    }


def _server(conditions: Conditions, repository: Path, *, instances: int) -> AbstractContextManager[ServedRepository]:
    options = [f"--detector-instances={instances}", *([f"--triton={conditions.triton}"] if conditions.triton else [])]
    options += [] if conditions.on_gpu else ["--gpus=none"]
    environment = {"PYTHONPATH": os.pathsep.join(site.getsitepackages())}
    timeout = min(SERVER_START_TIMEOUT, conditions.seconds_left() - _SECONDS_KEPT)
    return serving(repository, conditions.scratch, options, environment=environment, timeout=timeout)
