"""Measures the points, on servers that it starts itself: Triton without a network, or with it, and the gateway."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

from vfnet_bench.background_servers import NO_OP, Road, road
from vfnet_bench.closed_loop import Load
from vfnet_bench.gateway.comparison import load_grpc, load_score
from vfnet_bench.growth.points import MemoryRun, Point
from vfnet_build.model_configuration import configure
from vfnet_load.coco_sizes import ImageSize
from vfnet_load.pictures import make_picture
from vfnet_load.process_memory import proportional_set_size
from vfnet_load.server_processes import GENERATOR, group_processes

USUAL_SIZE, USUAL_CONCURRENCY = ImageSize(640, 480), 8
_SAMPLES = 50
_PIECE_S = 0.5

Say = Callable[[str], None]
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


def measure_sizes(setup: Setup, where: Road, sizes: Sequence[ImageSize]) -> list[Point]:
    """Images of growing size, at `USUAL_CONCURRENCY`."""
    pictures = {size: make_picture(size).jpeg for size in sizes}
    points = {size: Point(size.width * size.height / 1e6) for size in sizes}
    for size in _there_and_back(sizes, setup.rounds):
        load = _load(where, pictures[size], USUAL_CONCURRENCY, setup.seconds)
        points[size].add(load, memory_of(where))
        setup.say(f"{size}: {load.rate:.1f} images/s")
    return list(points.values())


def measure_concurrency(setup: Setup, where: Road, callers: Sequence[int]) -> list[Point]:
    """A growing number of callers."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    points = {number: Point(number) for number in callers}
    for number in _there_and_back(callers, setup.rounds):
        load = _load(where, jpeg, number, setup.seconds)
        points[number].add(load, memory_of(where))
        setup.say(f"{number} in flight: {load.rate:.1f} images/s")
    return list(points.values())


def measure_detections(setup: Setup, detections: Sequence[int]) -> list[Point]:
    """Growing numbers of boxes for postprocessing and the answer, always without a network."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    points = {number: Point(number) for number in detections}
    for number in _there_and_back(detections, setup.rounds):
        repository = _with_detections(setup, number)
        with road(repository, setup.scratch) as where:
            load = _load(where, jpeg, USUAL_CONCURRENCY, setup.seconds)
            points[number].add(load, memory_of(where))
        setup.say(f"{number} detections: {load.rate:.1f} images/s")
    return list(points.values())


def measure_memory(setup: Setup, where: Road, requests: int) -> MemoryRun:
    """Memory over so many requests, over gRPC and `/score` in turn."""
    jpeg = make_picture(USUAL_SIZE).jpeg
    done, counts, memory = 0, [0], [memory_of(where)]
    ways = itertools.cycle((load_grpc, load_score))
    while done < requests:
        done += len(asyncio.run(next(ways)(where, jpeg, USUAL_CONCURRENCY, _PIECE_S)).latencies)
        if done >= len(counts) * requests / _SAMPLES:
            counts.append(done)
            memory.append(memory_of(where))
            setup.say(f"{done} requests: {sum(memory[-1].values()) / 2**20:.0f} MiB")
    return MemoryRun(counts, memory)


def serving(setup: Setup) -> AbstractContextManager[Road]:
    """The repository, served as it is measured."""
    return road(setup.repository, setup.scratch, None if setup.network else NO_OP)


def memory_of(where: Road) -> dict[str, float]:
    """Bytes by group of processes, ourselves left out."""
    port = urlsplit(where.grpc_url).port
    assert port is not None
    groups = group_processes(port, where.gateway_port, os.getpid(), os.getpid())
    found = {}
    for name, members in groups.items():
        if name != GENERATOR:
            with suppress(psutil.Error):
                found[name] = float(sum(proportional_set_size(process) for process in members))
    return found


def _load(where: Road, jpeg: bytes, callers: int, seconds: float) -> Load:
    """For so long, or longer where that is less than three times what an answer takes."""
    while True:
        load = asyncio.run(load_grpc(where, jpeg, callers, seconds))
        if load.latencies and seconds >= 3 * load.percentile(50):
            return load
        seconds *= 2


def _with_detections(setup: Setup, number: int) -> Path:
    """A copy of the repository whose no-op finds so many."""
    copy = setup.scratch / f"detections_{number}"
    if not copy.exists():
        shutil.copytree(setup.repository, copy)
        config = copy / "vfnet_detector" / "configs" / f"{NO_OP}.pbtxt"
        configure(config, config, {"detections": str(number)})
    return copy


def _there_and_back(values: Sequence[T], rounds: int) -> list[T]:
    """Each value once a round, every other round backwards: what warms up or tires shows as spread, not as a trend."""
    return [value for number in range(rounds) for value in (values if number % 2 == 0 else values[::-1])]
