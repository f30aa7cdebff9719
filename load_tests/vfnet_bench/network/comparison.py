"""The benchmark: one repository, one image, everyone who can detect in it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.measurement import Measurement, Target, ratios
from vfnet_bench.network.agreement import Agreement, compare_detections
from vfnet_bench.network.bare_network import BareNetwork, Concurrency
from vfnet_bench.network.core_time import BARE, CALLERS, CoreClock, CoreTimes
from vfnet_bench.network.opponents.choosing import OPPONENTS
from vfnet_bench.network.opponents.opponent import Conditions, Opponent
from vfnet_bench.network.report import Report
from vfnet_bench.network.served_detector import ServedDetector, serving_detector
from vfnet_bench.progress import Progress
from vfnet_bench.rounds import Contestant, run_rounds
from vfnet_build.model_configuration import configure
from vfnet_load.machine import describe_machine, package_versions
from vfnet_model.manifest import Manifest
from vfnet_model.served_repository import network_input

LATENCY_TARGET = Target(1.05, at_most=True)
THROUGHPUT_TARGET = Target(0.97, at_most=False)
READY_TARGET = Target(15, at_most=True)  # seconds
_OURS = 4
"""How many of the contestants are not opponents: see `_contestants`."""
_IMAGES_PER_LATENCY = 3
_IMAGES_PER_THROUGHPUT = 12
_TURNS_PER_THROUGHPUT = 6
"""Of all callers. A run begins with a batch of one image and ends with few, as a server under load does not."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """What a person chooses."""

    images: tuple[Path, ...]
    """The first is timed; what is detected is compared in all."""
    rounds: int
    concurrency: int
    against: tuple[str, ...]
    """Of `OPPONENTS`."""
    checkpoint: Path
    """The file that the repository was built from."""
    mmdet_python: Path | None


def compare(root: Path, options: BenchmarkOptions) -> Report:
    """Measure the repository in `root/repository`.

    Args:
        root: a folder to write into: the server's cache of compiled networks, logs.

    Raises:
        BenchmarkError: the image cannot be read, or an opponent does not run.
        ServerError, VFNetClientError: the server failed.
    """
    progress, started = Progress("network"), datetime.now(UTC)
    repository, image = root / "repository", options.images[0].read_bytes()
    try:
        pixels, valid_shape = network_input(repository, image)
    except ValueError as error:
        raise BenchmarkError(f"{options.images[0]}: {error}") from error
    detector_config = repository / "vfnet_detector" / "config.pbtxt"
    configure(detector_config, detector_config, {"cache_dir": str(root / "cache")})  # leaves the user's cache alone
    network = BareNetwork(repository, pixels, valid_shape)
    machine = describe_machine(network.threads)
    if machine["load_average"][0] > network.threads / 2:
        progress.say(f"WARNING: the machine is busy (load {machine['load_average'][0]}): the ratios will be unsteady")

    progress.say("starting the server twice: without and with a cache of compiled networks")
    with serving_detector(root, image, options.concurrency) as cold:
        seconds_cold = cold.seconds_to_ready
    with ExitStack() as running:
        served = running.enter_context(serving_detector(root, image, options.concurrency))
        progress.say(f"ready after {seconds_cold:.1f} s, then after {served.seconds_to_ready:.1f} s")
        opponents = _start(options, _conditions(options, network.threads, root), running, progress)
        agreements = _agreements(served, opponents, options.images, progress)
        progress.say("finding the bare network's best throughput")
        best = network.find_best_concurrency(progress)
        images = max(_IMAGES_PER_THROUGHPUT, 3 * best.requests, _TURNS_PER_THROUGHPUT * options.concurrency)
        clocks = CoreClock(network.threads, BARE), CoreClock(network.threads, CALLERS, served.process)
        contestants = _contestants(network, best, served, options.concurrency, images, clocks)
        contestants += [Contestant(f"{each.name}, {each.manner}", each.unit, each.measure) for each in opponents]
        measured = run_rounds(contestants, options.rounds, progress)
        resident = served.resident_bytes() / 2**30

    measurements = [
        *measured,
        *_ratios(measured[:_OURS]),
        *_speeds(measured[:_OURS], measured[_OURS:], opponents),
        Measurement("server ready, first start", "s", (seconds_cold,)),
        Measurement("server ready, warm cache", "s", (served.seconds_to_ready,), READY_TARGET),
        Measurement("memory of all server processes", "GiB", (resident,)),
    ]
    setting = {
        "date": started.isoformat(timespec="seconds"),
        "checkpoint": _checkpoint(repository),
        "image": {"name": options.images[0].name, "network_input": list(pixels.shape[1:3])},
        "precision": network.precision,
        "threads": network.threads,
        "rounds": options.rounds,
        "images_per_round": {
            "one at a time": _IMAGES_PER_LATENCY,
            "throughput": images,
            **{each.name: 1 if each.unit == "s" else options.concurrency for each in opponents},
        },
        "machine": machine,
        "versions": _versions(served, opponents),
    }
    return Report(measurements, setting, agreements, CoreTimes(*(clock.typical() for clock in clocks)))


def _conditions(options: BenchmarkOptions, threads: int, scratch: Path) -> Conditions:
    return Conditions(
        options.checkpoint, options.images[0], threads, options.concurrency, options.mmdet_python, scratch
    )


def _start(options: BenchmarkOptions, conditions: Conditions, running: ExitStack, progress: Progress) -> list[Opponent]:
    opponents = []
    for name in options.against:
        progress.say(f"starting {name}")
        opponents.append(running.enter_context(OPPONENTS[name](conditions)))
    return opponents


def _agreements(
    served: ServedDetector, opponents: Sequence[Opponent], images: Sequence[Path], progress: Progress
) -> list[Agreement]:
    """Everyone detects in every image, which warms them up as well."""
    ours = [served.detect(image) for image in images]
    agreements = []
    for opponent in opponents:
        progress.say(f"comparing what {opponent.name} detects")
        agreements.append(compare_detections(opponent.name, ours, [opponent.detect(image) for image in images]))
    return agreements


def _contestants(
    network: BareNetwork,
    best: Concurrency,
    served: ServedDetector,
    concurrency: int,
    images: int,
    clocks: tuple[CoreClock, CoreClock],
) -> list[Contestant]:
    def bare_throughput() -> float:
        return clocks[0].measure(images, lambda: network.throughput(best, images))

    def served_throughput() -> float:
        return clocks[1].measure(images, lambda: served.throughput(images))

    return [
        Contestant("bare network, one at a time", "s", lambda: _typical(network.latency)),
        Contestant("served, one at a time", "s", lambda: _typical(served.latency)),
        Contestant(f"bare network, {best}", "images/s", bare_throughput),
        Contestant(f"served, {concurrency} in flight", "images/s", served_throughput),
    ]


def _typical(measure: Callable[[], float]) -> float:
    return median(measure() for _ in range(_IMAGES_PER_LATENCY))


def _ratios(ours: Sequence[Measurement]) -> list[Measurement]:
    bare_latency, served_latency, bare_throughput, served_throughput = ours
    return [
        ratios("latency, served / bare", served_latency, bare_latency, LATENCY_TARGET),
        ratios("throughput, served / bare", served_throughput, bare_throughput, THROUGHPUT_TARGET),
    ]


def _speeds(
    ours: Sequence[Measurement], theirs: Sequence[Measurement], opponents: Sequence[Opponent]
) -> list[Measurement]:
    """How many times as fast the served detector is as each opponent."""
    _, served_latency, _, served_throughput = ours
    return [
        ratios(f"latency, {opponent.name} / served", measured, served_latency, opponent.target)
        if opponent.unit == "s"
        else ratios(f"throughput, served / {opponent.name}", served_throughput, measured, opponent.target)
        for opponent, measured in zip(opponents, theirs, strict=True)
    ]


def _checkpoint(repository: Path) -> dict[str, object]:
    manifest = Manifest.read(repository)
    assert manifest is not None
    return {
        "description": manifest.checkpoint,
        "sha256": manifest.checkpoint_sha256,
        "untrained": manifest.untrained,
    }


def _versions(served: ServedDetector, opponents: Sequence[Opponent]) -> dict[str, object]:
    return {**package_versions(), "triton": served.triton_version, **{each.name: each.versions for each in opponents}}
