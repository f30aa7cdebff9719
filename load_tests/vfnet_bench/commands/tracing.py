"""`vfnet bench tracing`: what traces cost, by how many of the requests are traced."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from vfnet_bench.gateway.ways import SCORE, load_way, warm_up_of
from vfnet_bench.load import Load
from vfnet_bench.measurement import Measurement, median_interval, quartiles, ratios
from vfnet_bench.options import (
    add_json_argument,
    add_repository_argument,
    add_rounds_argument,
    add_seconds_argument,
)
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.rounds import Contestant, run_rounds
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.served_repository import CALLERS_WAIT, WITHOUT_NETWORK, ServedRepository, repository_or_demo, serving
from vfnet_client.commands.options import at_least_one

_JPEG_BYTES = 60_000
_OFF, _AGAIN = "off", "off, measured again"
_SHARES = {"1 % of requests": 0.01, "all requests": 1.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench tracing`."""
    add_repository_argument(parser)
    parser.add_argument(
        "--otlp", default="http://127.0.0.1:4318", metavar="URL", help="a collector that runs (default: %(default)s)"
    )
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the made-up JPEG (default: %(default)s)")
    parser.add_argument("--network", action="store_true", help="with the real network")
    parser.add_argument("--callers", type=at_least_one, default=8, metavar="N", help="in turn (default: %(default)s)")
    add_rounds_argument(parser, 7)
    add_seconds_argument(parser, 5.0)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table."""
    progress = Progress("tracing")
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder, ExitStack() as servers:
        scratch = Path(folder)
        repository = repository_or_demo(arguments.repository, scratch)
        width, height = (int(side) for side in arguments.size.split("x"))
        image = sample_jpeg(width, height, _JPEG_BYTES)
        options = [CALLERS_WAIT] + ([] if arguments.network else [WITHOUT_NETWORK])

        def started(name: str, share: float | None) -> ServedRepository:
            own = scratch / name.replace(" ", "-").replace("%", "percent")
            own.mkdir()
            more = [] if share is None else [f"--otlp={arguments.otlp}"]
            with _gateway_traces(arguments.otlp, share):
                return servers.enter_context(serving(repository, own, [*options, *more], gateway=True))

        off = started(_OFF, None)
        by_name = {_OFF: off, _AGAIN: off, **{name: started(name, share) for name, share in _SHARES.items()}}

        spent: dict[str, list[float]] = {name: [] for name in by_name}

        def measure(name: str) -> float:
            served, before = by_name[name], _processor_seconds(by_name[name])
            load = asyncio.run(load_way(served, SCORE, image, arguments.callers, arguments.seconds))
            spent[name].append(1000 * (_processor_seconds(served) - before) / _images(load))
            return load.rate

        contestants = [Contestant(name, "images/s", partial(measure, name)) for name in by_name]
        measured = run_rounds(contestants, arguments.rounds, progress)
    processor = [Measurement(f"processor, {name}", "ms an image", tuple(each[1:])) for name, each in spent.items()]
    setting = (
        f"/score, {arguments.callers} callers in turn, JPEG {arguments.size} of {len(image)} bytes, "
        f"{'the network' if arguments.network else 'detector without a network'}, {arguments.rounds} rounds"
    )
    rates = [ratios(f"{each.name} / off", each, measured[0], None) for each in measured[1:]]
    more = [_difference(each, processor[0]) for each in processor[1:]]
    every = [*measured, *rates, *processor, *more]
    figures = {
        "setting": setting,
        "measurements": [each.to_json() | {"interval": median_interval(each.values)} for each in every],
    }
    publish(f"{setting}\n\n{_table(measured, rates, processor, more)}", figures, arguments.json)
    return 0


def _difference(each: Measurement, off: Measurement) -> Measurement:
    """Of the same rounds."""
    values = tuple(own - other for own, other in zip(each.values, off.values, strict=True))
    return Measurement(f"{each.name} - off", each.unit, values)


def _table(
    measured: Sequence[Measurement],
    rates: Sequence[Measurement],
    processor: Sequence[Measurement],
    more: Sequence[Measurement],
) -> str:
    """A row for each share; in brackets is where 95 % of what drawing the rounds again gives lies."""
    rows = []
    for number, rate in enumerate(measured):
        row = [rate.name, f"{quartiles(rate.values).median:.0f}", "1"]
        row += [f"{quartiles(processor[number].values).median:.2f}", "0"]
        if number:
            row[2], row[4] = (f"{_shown(part[number - 1].values, digits)}" for part, digits in ((rates, 3), (more, 2)))
        rows.append(row)
    head = ("", "images/s", "of those without, round by round", "processor, ms an image", "more than without")
    return table(head, rows)


def _shown(values: Sequence[float], digits: int) -> str:
    low, high = median_interval(values)
    return f"{quartiles(values).median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _processor_seconds(served: ServedRepository) -> float:
    """That gateway, server and models have taken so far: what others do on the machine is not in it."""
    tree = [served.process, *served.process.children(recursive=True), psutil.Process(served.gateway.pid)]
    return sum(sum(process.cpu_times()[:2]) for process in tree)


def _images(load: Load) -> int:
    """Asked for, those before it counts included."""
    return max(1, round(load.rate * (load.seconds + warm_up_of(load.seconds))))


@contextmanager
def _gateway_traces(url: str, share: float | None) -> Iterator[None]:
    """The gateway that is started meanwhile exports traces of this share of requests."""
    chosen = {} if share is None else {"VFNET_GATEWAY_OTLP": url, "VFNET_GATEWAY_TRACE_SHARE": f"{share:g}"}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            del os.environ[name]
