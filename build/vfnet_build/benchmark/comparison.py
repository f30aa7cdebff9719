"""The benchmark: one repository, one image, everyone who can detect in it, side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from vfnet_build.benchmark.bare_network import BareNetwork, Concurrency
from vfnet_build.benchmark.errors import BenchmarkError
from vfnet_build.benchmark.machine import describe_machine, package_versions
from vfnet_build.benchmark.measurement import Measurement, Target, ratios
from vfnet_build.benchmark.mmdet_process import MMDetProcess, mmdet_process
from vfnet_build.benchmark.progress import Progress
from vfnet_build.benchmark.report import Report
from vfnet_build.benchmark.rounds import Contestant, run_rounds
from vfnet_build.benchmark.served_detector import ServedDetector, serving
from vfnet_build.model_configuration import configure
from vfnet_build.repository import Manifest
from vfnet_build.served_code import network_input

LATENCY_TARGET = Target(1.05, at_most=True)
THROUGHPUT_TARGET = Target(0.97, at_most=False)
MMDET_TARGET = Target(4.5, at_most=False)
READY_TARGET = Target(15, at_most=True)  # seconds
_IMAGES_PER_LATENCY = 3
_IMAGES_PER_THROUGHPUT = 12


@dataclass(frozen=True)
class MMDetEnvironment:
    """MMDetection, where it is installed."""

    python: Path
    checkpoint: Path
    """The file that the repository was built from."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """What a person chooses."""

    image: Path
    rounds: int
    concurrency: int
    mmdet: MMDetEnvironment | None
    command: tuple[str, ...]
    """For the record."""


def compare(root: Path, options: BenchmarkOptions) -> Report:
    """Measure the repository in `root/repository`.

    Args:
        root: a folder to write into: the server's cache of compiled networks, logs.

    Raises:
        BenchmarkError: the image cannot be read, or MMDetection does not run.
        ServerError, VFNetClientError: the server failed.
    """
    progress, started = Progress(), datetime.now(UTC)
    repository, image = root / "repository", options.image.read_bytes()
    try:
        pixels, valid_shape = network_input(repository, image)
    except ValueError as error:
        raise BenchmarkError(f"{options.image}: {error}") from error
    detector_config = repository / "vfnet_detector" / "config.pbtxt"
    configure(detector_config, detector_config, {"cache_dir": str(root / "cache")})  # leaves the user's cache alone
    network = BareNetwork(repository, pixels, valid_shape)
    machine = describe_machine(network.threads)
    if machine["load_average"][0] > network.threads / 2:
        progress.say(f"WARNING: the machine is busy (load {machine['load_average'][0]}): the ratios will be unsteady")

    progress.say("starting the server twice: without and with a cache of compiled networks")
    with serving(root, image, options.concurrency) as cold:
        seconds_cold = cold.seconds_to_ready
    with ExitStack() as running:
        served = running.enter_context(serving(root, image, options.concurrency))
        progress.say(f"ready after {seconds_cold:.1f} s, then after {served.seconds_to_ready:.1f} s")
        mmdet = None
        if options.mmdet is not None:
            progress.say("starting MMDetection")
            mmdet = running.enter_context(
                mmdet_process(
                    options.mmdet.python,
                    options.mmdet.checkpoint,
                    "detect",
                    options.image.absolute(),
                    network.threads,
                    root,
                )
            )
        progress.say("finding the bare network's best throughput")
        best = network.find_best_concurrency(progress)
        images = max(_IMAGES_PER_THROUGHPUT, 3 * best.requests, 3 * options.concurrency)
        contestants = _contestants(network, best, served, options.concurrency, images, mmdet)
        measured = run_rounds(contestants, options.rounds, progress)
        resident = served.resident_bytes() / 2**30
        detections = {"served": served.count_detections()}
        if mmdet is not None:
            detections["MMDetection"] = int(mmdet.result)

    measurements = [
        *measured,
        *_ratios(*measured),
        Measurement("server ready, first start", "s", (seconds_cold,)),
        Measurement("server ready, warm cache", "s", (served.seconds_to_ready,), READY_TARGET),
        Measurement("memory of all server processes", "GiB", (resident,)),
    ]
    setting = {
        "date": started.isoformat(timespec="seconds"),
        "command": list(options.command),
        "checkpoint": _checkpoint(repository),
        "image": {"name": options.image.name, "network_input": list(pixels.shape[1:3]), "detections": detections},
        "precision": network.precision,
        "threads": network.threads,
        "rounds": options.rounds,
        "images_per_round": {"one at a time": _IMAGES_PER_LATENCY, "throughput": images, "MMDetection": 1},
        "machine": machine,
        "versions": _versions(served, mmdet),
    }
    return Report(measurements, setting)


def _contestants(
    network: BareNetwork,
    best: Concurrency,
    served: ServedDetector,
    concurrency: int,
    images: int,
    mmdet: MMDetProcess | None,
) -> list[Contestant]:
    contestants = [
        Contestant("bare network, one at a time", "s", lambda: _typical(network.latency)),
        Contestant("served, one at a time", "s", lambda: _typical(served.latency)),
        Contestant(f"bare network, {best}", "images/s", lambda: network.throughput(best, images)),
        Contestant(f"served, {concurrency} in flight", "images/s", lambda: served.throughput(images)),
    ]
    if mmdet is not None:
        name = f"MMDetection {mmdet.versions['mmdet']}, one at a time"
        contestants.append(Contestant(name, "s", mmdet.seconds))
    return contestants


def _typical(measure: Callable[[], float]) -> float:
    return median(measure() for _ in range(_IMAGES_PER_LATENCY))


def _ratios(
    bare_latency: Measurement,
    served_latency: Measurement,
    bare_throughput: Measurement,
    served_throughput: Measurement,
    mmdet_latency: Measurement | None = None,
) -> list[Measurement]:
    found = [
        ratios("latency, served / bare", served_latency, bare_latency, LATENCY_TARGET),
        ratios("throughput, served / bare", served_throughput, bare_throughput, THROUGHPUT_TARGET),
    ]
    if mmdet_latency is not None:
        found.append(ratios("latency, MMDetection / served", mmdet_latency, served_latency, MMDET_TARGET))
    return found


def _checkpoint(repository: Path) -> dict[str, object]:
    manifest = Manifest.read(repository)
    assert manifest is not None
    return {
        "description": manifest.checkpoint,
        "sha256": manifest.checkpoint_sha256,
        "untrained": manifest.untrained,
    }


def _versions(served: ServedDetector, mmdet: MMDetProcess | None) -> dict[str, object]:
    versions: dict[str, object] = {**package_versions(), "triton": served.triton_version}
    if mmdet is not None:
        versions["MMDetection"] = mmdet.versions
    return versions
