"""`vfnet bench growth`: images/s and memory as images, concurrency and detections grow, as one report."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from vfnet_bench.background_servers import build_demo
from vfnet_bench.growth import measurement
from vfnet_bench.growth.growth_page import growth_page
from vfnet_bench.growth.points import Growth
from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import at_least_one, count, seconds
from vfnet_load.coco_sizes import ImageSize
from vfnet_load.machine import describe_machine

_SIZES = ("160x120", "320x240", "640x480", "1280x960", "2560x1920", "4000x3000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench growth`."""
    parser.add_argument("--repository", type=Path, metavar="DIR", help="written by vfnet build (default: builds demo)")
    parser.add_argument(
        "--network", action="store_true", help="let the network compute; else fixed detections take its place"
    )
    parser.add_argument(
        "--sizes", type=_size, nargs="+", default=[*map(_size, _SIZES)], metavar="WxH", help=_list(_SIZES)
    )
    callers, found = (1, 2, 4, 8, 16, 32, 64), (0, 10, 50, 100, 500)
    parser.add_argument(
        "--concurrency", type=at_least_one, nargs="+", default=callers, metavar="N", help=_list(callers)
    )
    parser.add_argument("--detections", type=count, nargs="+", default=found, metavar="N", help=_list(found))
    parser.add_argument("--requests", type=at_least_one, default=5000, metavar="N", help="for memory: %(default)s")
    parser.add_argument("--seconds", type=seconds, default=3.0, help="for each measurement (default: %(default)g)")
    parser.add_argument("--rounds", type=at_least_one, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--report", type=Path, default=Path("var/cost_growth.html"), metavar="FILE",
        help="figures beside it as .json (default: %(default)s)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Measure and write the report."""
    report: Path = arguments.report
    report.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vfnet-growth-") as folder:
        scratch = Path(folder)
        repository = arguments.repository
        if repository is None:
            repository = scratch / "repository"
            build_demo(repository)
        setup = measurement.Setup(
            repository.absolute(), scratch, arguments.seconds, arguments.rounds, arguments.network, _say
        )
        with measurement.serving(setup) as where:
            sizes = measurement.measure_sizes(setup, where, arguments.sizes)
            callers = measurement.measure_concurrency(setup, where, arguments.concurrency)
            memory = measurement.measure_memory(setup, where, arguments.requests)
        found = measurement.measure_detections(setup, arguments.detections)
    growth = Growth(sizes, callers, found, memory, _setting(arguments))
    write_whole(report, growth_page(growth).to_html().encode())
    write_whole(report.with_suffix(".json"), json.dumps(growth.to_json(), indent=2).encode() + b"\n")
    print(f"memory grew by {memory.growth() / 2**20:+.1f} MiB after the warm-up; report: {report}")
    return 0


def _setting(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "what": "The network computes" if arguments.network else "Fixed detections in the network's place",
        "machine": describe_machine(len(os.sched_getaffinity(0))),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("openvino", "tritonclient", "vfnet")),
        "command": " ".join(["vfnet", *sys.argv[1:]]),
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "callers": measurement.USUAL_CONCURRENCY,
        "size": str(measurement.USUAL_SIZE),
    }


def _size(text: str) -> ImageSize:
    try:
        return ImageSize.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _list(values: tuple[object, ...]) -> str:
    return f"default: {' '.join(map(str, values))}"


def _say(message: str) -> None:
    print(f"vfnet bench growth: {message}", file=sys.stderr, flush=True)
