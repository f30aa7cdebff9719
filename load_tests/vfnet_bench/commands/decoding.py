"""`vfnet bench decoding`: what preprocessing takes for an image, by kind and size, and the cores a GPU wants for it."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfnet_bench.decoding.pictures import FORMATS, Pictures, mosaic, own_pictures
from vfnet_bench.measurement import Measurement, quartiles
from vfnet_bench.options import (
    add_json_argument,
    add_repository_argument,
    add_rounds_argument,
    add_seconds_argument,
)
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.served_repository import repository_or_demo
from vfnet_client.commands.options import at_least_one
from vfnet_load.coco_sizes import ImageSize
from vfnet_serve.machine import this_machine

if TYPE_CHECKING:
    from vfnet_bench.decoding.measurement import Costs
    from vfnet_bench.decoding.serving import ServedPair

_SIZES = ("640x480", "1920x1080", "4000x3000")
_GPU_RATE = 500
"""Images a second that cores are reckoned for, unless told otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench decoding`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of photos: decoded as they are, and made larger")
    parser.add_argument(
        "--most", type=at_least_one, default=16, metavar="N", help="the first so many of them (default: %(default)s)"
    )
    parser.add_argument(
        "--sizes", type=_size, nargs="*", default=[*map(_size, _SIZES)], metavar="WxH",
        help=f"of pictures made of the photos side by side (default: {' '.join(_SIZES)}; none: yours alone)",
    )  # fmt: skip
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(FORMATS), metavar="NAME",
        help=f"to make them in: {', '.join(FORMATS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", type=at_least_one, default=_GPU_RATE, metavar="N", help="images/s to reckon cores for (default: 500)"
    )
    parser.add_argument("--served", action="store_true", help="also a server without a network, before and now")
    parser.add_argument("--callers", type=at_least_one, default=8, metavar="N", help="of it, in turn (default: 8)")
    add_repository_argument(parser)
    add_seconds_argument(parser, 4.0)
    add_rounds_argument(parser, 7)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table, or two."""
    from vfnet_bench.decoding.measurement import measure
    from vfnet_bench.decoding.serving import both_servers, measure_served

    progress = Progress("decoding")
    own = own_pictures(arguments.folder, arguments.most)
    photos = [encoded for pictures in own for encoded in pictures.encoded]
    made = [mosaic(photos, size, name) for name in arguments.formats for size in arguments.sizes]
    costs = [measure(pictures, arguments.rounds, progress) for pictures in (*own, *made)]
    text = f"{this_machine()}; milliseconds of one core for an image\n\n{_table(costs, arguments.gpu)}"
    figures: dict[str, Any] = {"in_process": [each.to_json() for each in costs]}
    if arguments.served:
        with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
            scratch = Path(folder)
            repository = repository_or_demo(arguments.repository, scratch)
            with both_servers(repository, scratch) as servers:
                pairs = [
                    measure_served(
                        servers, pictures, arguments.callers, arguments.seconds, arguments.rounds, progress
                    )
                    for pictures in (*own, *made)
                ]  # fmt: skip
        figures["served"] = [pair.to_json() for pair in pairs]
        text += f"\n\nA server without a network, {arguments.callers} callers in turn\n\n"
        text += _served_table(pairs, arguments.gpu)
    publish(text, figures, arguments.json)
    return 0


def _table(costs: list[Costs], gpu: int) -> str:
    head = ("pictures", "kB", "Pillow", "served", "OpenCV", "resize", "before", "now", "now / before")
    rows = []
    for each in costs:
        columns = (each.pillow, each.served, each.opencv, each.resize, each.before, each.now)
        share = quartiles(each.share.values)
        rows.append(
            (
                _name(each.pictures),
                f"{each.pictures.mean_bytes / 1000:.0f}",
                *(f"{_median(column):.2f}" for column in columns),
                f"{share.median:.2f} ({share.lower:.2f} to {share.upper:.2f})",
                *(f"{gpu * _median(column) / 1000:.1f}" for column in (each.before, each.now)),
            )
        )
    return table((*head, f"cores at {gpu}/s, before", "now"), rows)


def _served_table(pairs: list[ServedPair], gpu: int) -> str:
    rows = []
    for pair in pairs:
        before, now, ratio, old, new = pair.measurements()
        spread = quartiles(ratio.values)
        rows.append(
            (
                _name(pair.pictures),
                *(f"{_median(column):.1f}" for column in (before, now)),
                f"{spread.median:.2f} ({spread.lower:.2f} to {spread.upper:.2f})",
                *(f"{_median(column):.2f}" for column in (old, new)),
                *(f"{gpu * _median(column) / 1000:.1f}" for column in (old, new)),
            )
        )
    head = ("pictures", "images/s, Pillow", "now", "now / Pillow", "ms of processor, Pillow", "now")
    return table((*head, f"cores at {gpu}/s, Pillow", "now"), rows)


def _name(pictures: Pictures) -> str:
    count = len(pictures.encoded)
    return f"{pictures.name} ({count})" if count > 1 else pictures.name


def _median(measurement: Measurement) -> float:
    return quartiles(measurement.values).median


def _size(text: str) -> ImageSize:
    try:
        return ImageSize.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
