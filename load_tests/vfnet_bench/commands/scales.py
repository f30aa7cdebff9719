"""`vfnet bench scales`: seconds and AP against the scale images are resized to, on annotated images."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vfnet.commands.build import add_checkpoint_arguments, build_from
from vfnet.commands.detection_settings import detection_settings_from
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.options import add_json_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_client.atomic_files import write_whole
from vfnet_client.cli import install_command
from vfnet_client.commands.options import at_least_one, scale
from vfnet_data.reading import read_dataset
from vfnet_serve.machine import this_machine

if TYPE_CHECKING:
    from vfnet_bench.scales.measurement import ScalePoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench scales`."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="FILE|FOLDER",
        help="of the images: COCO JSON, AutoML JSONL, a folder of Pascal VOC",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the images are (default: near the annotations)"
    )
    parser.add_argument(
        "--first", type=at_least_one, metavar="N", help="only the first so many images (default: all); AP wants many"
    )
    parser.add_argument(
        "--scales", type=scale, nargs="+", metavar="LONGxSHORT",
        help="to compare (default: the checkpoint's own, or --scale, and 80, 60, 48 and 36 %% of it)",
    )  # fmt: skip
    add_json_argument(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw it, as PNG")
    parser.epilog = (
        "It detects in this process, one image at a time on all cores, with OpenVINO as it would be served. "
        "Choose by `vfnet build --scale`."
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table."""
    if arguments.engine != ["openvino"]:
        raise BenchmarkError("scales are compared with --engine openvino")
    if arguments.plot is not None and find_spec("matplotlib") is None:
        raise BenchmarkError(f"--plot needs a package: {install_command('bench')}")
    for result in (arguments.json, arguments.plot):
        if result is not None and not result.absolute().parent.is_dir():
            raise BenchmarkError(f"there is no folder {result.absolute().parent} to write the result into")
    for each in arguments.scales or ():
        replace(detection_settings_from(arguments), scale=each).check()
    dataset = read_dataset(arguments.annotations, arguments.images)
    dataset = replace(dataset, images=dataset.images[: arguments.first])
    from vfnet_bench.scales.measurement import measure_scales, smaller_scales  # OpenVINO, pycocotools
    from vfnet_model.detectors.repository_detector import RepositoryDetector

    progress = Progress("scales")
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as scratch:
        repository = Path(scratch) / "repository"
        build_from(arguments, repository)
        detector = RepositoryDetector(repository)
        scales = list(dict.fromkeys(arguments.scales or smaller_scales(detector.scale)))
        progress.say(f"{len(dataset.images)} images at {len(scales)} scales")
        points = measure_scales(detector, dataset, scales, progress)
    words = f"{len(dataset.images)} images, {arguments.precision}; {this_machine()}"
    figures = {"images": len(dataset.images), "precision": arguments.precision, "points": [*map(asdict, points)]}
    publish(f"{words}\n\n{_table(points)}", figures, arguments.json)
    if arguments.plot is not None:
        from vfnet_bench.scales.picture import draw_scales

        write_whole(arguments.plot, draw_scales(points, words))
    return 0


def _table(points: list[ScalePoint]) -> str:
    head = ("scale", "s an image", "quartiles", "of the first", *points[0].figures)
    rows = [
        (
            point.name,
            f"{point.seconds.median:.3f}",
            f"{point.seconds.lower:.3f} to {point.seconds.upper:.3f}",
            f"{point.of_first:.2f}",
            *("" if value < 0 else f"{value:.4f}" for value in point.figures.values()),
        )
        for point in points
    ]
    return table(head, rows)
