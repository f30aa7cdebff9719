"""`vfnet bench instances`: how long a GPU would wait between batches, with one instance of the detector and two."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from vfnet_bench.options import add_json_argument, add_rounds_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import median_and_range, publish, table
from vfnet_client.commands.options import at_least_one, milliseconds

_H100_MS = 2.3
"""Of an image at batch 8, by estimate: what the shares are computed for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench instances`."""
    parser.add_argument(
        "--compute", type=milliseconds, default=20.0, metavar="MS",
        help="of an image; so long that this machine's cores keep up (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--upload", type=milliseconds, default=0.1, metavar="MS", help="of an image (default: %(default)g)"
    )
    parser.add_argument("--callers", type=at_least_one, default=48, metavar="N", help="in turn (default: %(default)s)")
    add_seconds_argument(parser, 6.0)
    add_rounds_argument(parser, 2)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table."""
    from vfnet_bench.gpu.simulated_device import Device, Occupation, occupation

    say = Progress("instances").say
    contestants = {
        "one instance, batches of 16": (1, 16),
        "one instance, batches of 32": (1, 32),
        "two instances, batches of 16": (2, 16),
        "two instances, batches of 8": (2, 8),
    }
    found: dict[str, list[Occupation]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-instances-") as scratch:
        for number in range(arguments.rounds):
            for name, (instances, batch) in contestants.items():
                device = Device(arguments.compute, arguments.upload, instances, batch)
                folder = Path(scratch) / f"{number} {name}"
                found[name].append(occupation(device, arguments.callers, arguments.seconds, folder))
                say(f"round {number + 1} of {arguments.rounds}: {name}")
    rows = [
        (
            name,
            median_and_range([each.idle_ms for each in values]),
            median_and_range([each.images_a_run for each in values]),
            median_and_range([each.images_a_second for each in values]),
            median_and_range([each.p50_ms for each in values]),
            median_and_range([100 * each.share(_H100_MS) for each in values]),
        )
        for name, values in found.items()
    ]
    head = ("", "idle before a run, ms", "images a run", "images/s", "p50, ms", f"busy at {_H100_MS:g} ms an image, %")
    publish(table(head, rows), {name: [asdict(each) for each in values] for name, values in found.items()},
            arguments.json)  # fmt: skip
    return 0
