"""`vfnet bench growth`: images/s and memory as images, concurrency and detections grow, as one report."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from vfnet_bench.growth import measurement
from vfnet_bench.growth.points import Growth
from vfnet_bench.options import add_repository_argument, add_rounds_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import command, publish
from vfnet_bench.served_repository import repository_or_demo
from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import at_least_one, count
from vfnet_load.coco_sizes import ImageSize
from vfnet_load.machine import describe_machine

_SIZES = ("160x120", "320x240", "640x480", "1280x960", "2560x1920", "4000x3000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench growth`."""
    add_repository_argument(parser)
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
    add_seconds_argument(parser, 3.0)
    add_rounds_argument(parser, 2)
    parser.add_argument(
        "--report", type=Path, default=Path("var/cost_growth.html"), metavar="FILE",
        help="figures beside it as .json (default: %(default)s)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Measure and write the report."""
    from vfnet_bench.growth.growth_page import growth_page  # Matplotlib, which takes a while to import

    report: Path = arguments.report
    report.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vfnet-growth-") as folder:
        scratch = Path(folder)
        repository, say = repository_or_demo(arguments.repository, scratch), Progress("growth").say
        setup = measurement.Setup(repository, scratch, arguments.seconds, arguments.rounds, arguments.network, say)
        with measurement.serving_setup(setup) as served:
            sizes = measurement.measure_sizes(setup, served, arguments.sizes)
            callers = measurement.measure_concurrency(setup, served, arguments.concurrency)
            memory = measurement.measure_memory(setup, served, arguments.requests)
        found = measurement.measure_detections(setup, arguments.detections)
    growth = Growth(sizes, callers, found, memory, _setting(arguments))
    write_whole(report, growth_page(growth).to_html().encode())
    said = f"memory grew by {memory.growth() / 2**20:+.1f} MiB after the warm-up; report: {report}"
    publish(said, growth.to_json(), report.with_suffix(".json"))
    return 0


def _setting(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "what": "The network computes" if arguments.network else "Fixed detections in the network's place",
        "machine": describe_machine(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("openvino", "tritonclient", "vfnet")),
        "command": shlex.join(command()),
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
