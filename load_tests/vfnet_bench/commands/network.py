"""`vfnet bench network`: the served detector against the bare network and others that detect, in one run."""

from __future__ import annotations

import argparse
import signal
import tempfile
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vfnet.commands.build import add_checkpoint_arguments, build_from
from vfnet.commands.detection_settings import detection_settings_from
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.network.opponents import NAMES
from vfnet_bench.options import add_json_argument, add_rounds_argument
from vfnet_bench.progress import Progress
from vfnet_client.atomic_files import write_whole
from vfnet_client.cli import install_command
from vfnet_client.commands.options import at_least_one
from vfnet_model.checkpoints.class_names import read_class_list
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_serve.installation import find_triton

if TYPE_CHECKING:
    from vfnet_bench.network.comparison import BenchmarkOptions
    from vfnet_model.checkpoints.loading import Checkpoint
    from vfnet_model.detection_settings import DetectionSettings

MMDET_PYTHON = Path(".mmdet/bin/python")
"""Where `make parity` installs MMDetection."""
WITHOUT_MMDET = f"without MMDetection: there is no {MMDET_PYTHON}, and no --mmdet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench network`."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="pictures instead of the sample: the first is timed, what is detected is compared in all",
    )
    parser.add_argument(
        "--against",
        type=_opponents,
        metavar="NAME,...",
        help=f"who else: {', '.join(NAMES)} (default: mmdet, if there)",
    )
    add_rounds_argument(parser, 8)
    parser.add_argument(
        "--concurrency",
        type=at_least_one,
        default=8,
        metavar="N",
        help="images in flight when throughput is measured (default: %(default)s)",
    )
    add_mmdet_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw it, as PNG")


def add_mmdet_argument(parser: argparse.ArgumentParser) -> None:
    """Read by `find_mmdet`."""
    parser.add_argument(
        "--mmdet",
        type=Path,
        metavar="PYTHON",
        help=f"interpreter of an environment with MMDetection 2.x (default: {MMDET_PYTHON}, if there)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0 whether or not the targets are met."""
    from vfnet_bench.network.comparison import compare  # OpenVINO and torch, which take a while to import
    from vfnet_bench.report import publish

    _check(arguments)
    signal.signal(signal.SIGTERM, leave)
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as scratch:
        root = Path(scratch)
        if settings := detection_settings_from(arguments):
            arguments = _with_settings_of_its_own(arguments, settings, root / "changed.pth")
        options = _options(arguments)
        build_from(arguments, root / "repository")
        report = compare(root, options)
    publish(report.to_markdown(), report.to_json(), arguments.json)
    if arguments.plot is not None:
        from vfnet_bench.plot import draw

        write_whole(arguments.plot, draw(report))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """What would fail only after minutes of work. Raises BenchmarkError, ServerError."""
    for image in arguments.image or ():
        if not image.is_file():
            raise BenchmarkError(f"there is no image {image}")
    for result in (arguments.json, arguments.plot):
        if result is not None and not result.absolute().parent.is_dir():
            raise BenchmarkError(f"there is no folder {result.absolute().parent} to write the result into")
    if arguments.plot is not None and find_spec("matplotlib") is None:
        raise BenchmarkError(f"--plot needs a package: {install_command('bench')}")
    find_triton()


def _options(arguments: argparse.Namespace) -> BenchmarkOptions:
    """Raises BenchmarkError: one of the opponents cannot be had."""
    from vfnet_bench.network.comparison import BenchmarkOptions
    from vfnet_bench.network.opponents.choosing import CHECKS

    python = find_mmdet(arguments.mmdet)
    against = arguments.against
    if against is None:
        against = () if python is None else ("mmdet",)
        if python is None:
            Progress("network").say(WITHOUT_MMDET)
    for name in against:
        if name in CHECKS:
            CHECKS[name](python)
    return BenchmarkOptions(
        images=tuple(arguments.image or [SAMPLE_PICTURE]),
        rounds=arguments.rounds,
        concurrency=arguments.concurrency,
        against=against,
        checkpoint=_open_checkpoint(arguments).path.absolute(),
        mmdet_python=python,
    )


def _with_settings_of_its_own(
    arguments: argparse.Namespace, settings: DetectionSettings, path: Path
) -> argparse.Namespace:
    """The same for a checkpoint, written to `path`, that says itself what the options say: so do all opponents."""
    from vfnet_model.checkpoints.loading import build_network
    from vfnet_train.output_checkpoint import write_checkpoint
    from vfnet_train.training_state import Position

    checkpoint = _open_checkpoint(arguments)
    changed = replace(checkpoint, config=settings.applied_to(checkpoint.config))
    write_checkpoint(path, build_network(changed), Position(), {})
    without = dict.fromkeys((*asdict(settings), "architecture", "classes"))
    return argparse.Namespace(**{**vars(arguments), **without, "checkpoint": str(path)})


def _opponents(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(NAMES)}")
    return names


def find_mmdet(named: Path | None) -> Path | None:
    """The interpreter to run MMDetection with, if any. Raises BenchmarkError: the one named is not there."""
    python = named or MMDET_PYTHON
    if python.is_file():
        return python.absolute()
    if named is not None:
        raise BenchmarkError(f"there is no Python at {named}: --mmdet names an environment's bin/python")
    return None


def _open_checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    from vfnet_model.checkpoints.resolve import open_checkpoint

    classes = arguments.classes
    names = None if classes is None else read_class_list(classes)
    return open_checkpoint(arguments.checkpoint, architecture=arguments.architecture, classes=names)


def leave(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM, as Ctrl-C: what was started is stopped on the way out."""
    raise KeyboardInterrupt
