"""Measures the points, on servers that it starts itself: Triton without a network, or with it, and the gateway."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from vfnet_bench.gateway.ways import DIRECT, SCORE, load_way
from vfnet_bench.growth.points import MemoryRun, Point
from vfnet_bench.load import Load
from vfnet_bench.rounds import turns
from vfnet_bench.served_repository import (
    CALLERS_WAIT,
    WITHOUT_NETWORK,
    ServedRepository,
    serving,
    with_fixed_detections,
)
from vfnet_load.coco_sizes import ImageSize
from vfnet_load.pictures import make_picture
from vfnet_load.process_memory import proportional_set_size
from vfnet_load.server_processes import GENERATOR, group_processes

USUAL_SIZE, USUAL_CONCURRENCY = ImageSize(640, 480), 8
_SAMPLES = 50
_PIECE_S = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What everything is measured with."""

    repository: Path
    scratch: Path
    seconds: float
    """For each measurement."""
    rounds: int
    network: bool
    """Whether the network computes; else fixed detections take its place."""
    say: Say


def measure_sizes(setup: Setup, served: ServedRepository, sizes: Sequence[ImageSize]) -> list[Point]:
    """Images of growing size, at `USUAL_CONCURRENCY`."""
    pictures = {size: make_picture(size).jpeg for size in sizes}
    points = {size: Point(size.width * size.height / 1e6) for size in sizes}
    for _, size in turns(sizes, setup.rounds):
        load = _load(served, pictures[size], USUAL_CONCURRENCY, setup.seconds)
        points[size].add(load, memory_of(served))
        setup.say(f"{size}: {load.rate:.1f} images/s")
    return list(points.values())


def measure_concurrency(setup: Setup, served: ServedRepository, callers: Sequence[int]) -> list[Point]:
    """A growing number of callers."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    points = {number: Point(number) for number in callers}
    for _, number in turns(callers, setup.rounds):
        load = _load(served, jpeg, number, setup.seconds)
        points[number].add(load, memory_of(served))
        setup.say(f"{number} in flight: {load.rate:.1f} images/s")
    return list(points.values())


def measure_detections(setup: Setup, detections: Sequence[int]) -> list[Point]:
    """Growing numbers of boxes for postprocessing and the answer, always without a network."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    points = {number: Point(number) for number in detections}
    repositories = {
        number: with_fixed_detections(setup.repository, setup.scratch / f"detections_{number}", number)
        for number in points
    }
    for _, number in turns(detections, setup.rounds):
        with _serving(setup, repositories[number], network=False) as served:
            load = _load(served, jpeg, USUAL_CONCURRENCY, setup.seconds)
            points[number].add(load, memory_of(served))
        setup.say(f"{number} detections: {load.rate:.1f} images/s")
    return list(points.values())


def measure_memory(setup: Setup, served: ServedRepository, requests: int) -> MemoryRun:
    """Memory over so many requests, over gRPC and `/score` in turn."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    done, counts, memory = 0, [0], [memory_of(served)]
    ways = itertools.cycle((DIRECT, SCORE))
    while done < requests:
        done += len(asyncio.run(load_way(served, next(ways), jpeg, USUAL_CONCURRENCY, _PIECE_S)).latencies)
        if done >= len(counts) * requests / _SAMPLES:
            counts.append(done)
            memory.append(memory_of(served))
            setup.say(f"{done} requests: {sum(memory[-1].values()) / 2**20:.0f} MiB")
    return MemoryRun(counts, memory)


def serving_setup(setup: Setup) -> AbstractContextManager[ServedRepository]:
    """The repository, served as it is measured."""
    return _serving(setup, setup.repository, network=setup.network)


def memory_of(served: ServedRepository) -> dict[str, float]:
    """Bytes by group of processes, ourselves left out."""
    groups = group_processes(served.endpoints.grpc_port, served.gateway.port, os.getpid(), os.getpid())
    found = {}
    for name, members in groups.items():
        if name != GENERATOR:
            with suppress(psutil.Error):
                found[name] = float(sum(proportional_set_size(process) for process in members))
    return found


def _load(served: ServedRepository, jpeg: bytes, callers: int, seconds: float) -> Load:
    """For so long, or longer where that is less than three times what an answer takes."""
    while True:
        load = asyncio.run(load_way(served, DIRECT, jpeg, callers, seconds))
        if load.latencies and seconds >= 3 * load.percentile(50):
            return load
        seconds *= 2


def _serving(setup: Setup, repository: Path, *, network: bool) -> AbstractContextManager[ServedRepository]:
    options = [CALLERS_WAIT] + ([] if network else [WITHOUT_NETWORK])
    return serving(repository, setup.scratch, options, gateway=True)
