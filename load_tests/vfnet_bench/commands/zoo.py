"""`vfnet bench zoo`: every network of MMDetection's configs/vfnet, served and in MMDetection."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from vfnet_bench.commands.network import WITHOUT_MMDET, add_mmdet_argument, find_mmdet, leave
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.options import add_json_argument, add_rounds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_serve.installation import find_triton


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench zoo`."""
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="NAME",
        help="of configurations of MMDetection 2.28.2, as vfnet_r50_fpn_1x_coco (default: one of each architecture)",
    )
    parser.add_argument("--image", type=Path, default=SAMPLE_PICTURE, metavar="FILE", help="(default: the sample)")
    parser.add_argument(
        "--precision", choices=("f32", "bf16"), default="f32", help="of what is served (default: %(default)s)"
    )
    add_rounds_argument(parser, 3)
    add_mmdet_argument(parser)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0."""
    from vfnet_bench.zoo.comparison import ZooOptions, compare_zoo, distinct_stems, zoo_table  # torch takes a while

    stems = tuple(arguments.networks or distinct_stems())
    if unknown := [stem for stem in stems if stem not in ARCHITECTURES]:
        raise BenchmarkError(f"there is no network {unknown[0]!r}: there are {', '.join(ARCHITECTURES)}")
    if not arguments.image.is_file():
        raise BenchmarkError(f"there is no image {arguments.image}")
    find_triton()
    signal.signal(signal.SIGTERM, leave)
    python = find_mmdet(arguments.mmdet)
    if python is None:
        Progress("zoo").say(WITHOUT_MMDET)
    options = ZooOptions(stems, arguments.image, arguments.rounds, arguments.precision, python)
    rows = compare_zoo(options)
    publish(zoo_table(rows), {"networks": [row.to_json() for row in rows]}, arguments.json)
    return 0
