"""Measures the points, on servers that it starts itself: Triton without a network, or with it, and the gateway."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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
Measured = tuple[Load, dict[str, float]]
"""A load, and bytes by group of processes after it."""
T = TypeVar("T")


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
    return _measure(setup, points, "", lambda size: _load(setup, served, pictures[size], USUAL_CONCURRENCY))


def measure_concurrency(setup: Setup, served: ServedRepository, callers: Sequence[int]) -> list[Point]:
    """A growing number of callers."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    points = {number: Point(number) for number in callers}
    return _measure(setup, points, " in flight", lambda number: _load(setup, served, jpeg, number))


def measure_detections(setup: Setup, detections: Sequence[int]) -> list[Point]:
    """Growing numbers of boxes for postprocessing and the answer, always without a network."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    repositories = {
        number: with_fixed_detections(setup.repository, setup.scratch / f"detections_{number}", number)
        for number in dict.fromkeys(detections)
    }

    def measure(number: int) -> Measured:
        with _serving(setup, repositories[number], network=False) as served:
            return _load(setup, served, jpeg, USUAL_CONCURRENCY)

    return _measure(setup, {number: Point(number) for number in detections}, " detections", measure)


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


def _measure(setup: Setup, points: dict[T, Point], unit: str, measure: Callable[[T], Measured]) -> list[Point]:
    """Every point once a round; `unit` is what the remarks call its value."""
    for _, value in turns(list(points), setup.rounds):
        load, memory = measure(value)
        points[value].add(load, memory)
        setup.say(f"{value}{unit}: {load.rate:.1f} images/s")
    return list(points.values())


def _load(setup: Setup, served: ServedRepository, jpeg: bytes, callers: int) -> Measured:
    """For `setup.seconds`, or longer where that is less than three times what an answer takes."""
    seconds = setup.seconds
    while True:
        load = asyncio.run(load_way(served, DIRECT, jpeg, callers, seconds))
        if load.latencies and seconds >= 3 * load.percentile(50):
            return load, memory_of(served)
        seconds *= 2


def _serving(setup: Setup, repository: Path, *, network: bool) -> AbstractContextManager[ServedRepository]:
    options = [CALLERS_WAIT] + ([] if network else [WITHOUT_NETWORK])
    return serving(repository, setup.scratch, options, gateway=True)
