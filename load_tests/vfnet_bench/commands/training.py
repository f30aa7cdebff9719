"""`vfnet bench training`: seconds an image, forward and backward, beside MMDetection on the same CPU."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet_bench.options import add_json_argument, add_rounds_argument
from vfnet_bench.report import measurement_table, publish
from vfnet_client.commands.options import at_least_one, scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench training`."""
    parser.add_argument("--checkpoint", default="demo", metavar="FILE|URL|coco|demo", help="(default: demo)")
    parser.add_argument(
        "--size", type=scale, default=(512, 384), metavar="WxH", help="of the images, in pixels (default: 512x384)"
    )
    parser.add_argument("--batch-size", type=at_least_one, default=2, metavar="N", help="(default: %(default)s)")
    add_rounds_argument(parser, 5)
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="for all (default: torch's choice)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda; MMDetection runs on the CPU")
    parser.add_argument(
        "--mmdet", type=Path, metavar="PYTHON", help="interpreter of an environment with MMDetection 2.x"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0."""
    from vfnet_bench.training.comparison import measure  # torch, which takes seconds to import
    from vfnet_model.checkpoints.resolve import open_checkpoint

    document, measurements = measure(arguments, open_checkpoint(arguments.checkpoint))
    document["measurements"] = [measurement.to_json() for measurement in measurements]
    publish(f"{document['described']}\n\n{measurement_table(measurements)}", document, arguments.json)
    return 0
