"""`vfnet build`: a checkpoint -> a model repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vfnet_build.building import ENGINES, PRECISIONS, build
from vfnet_build.checkpoints.errors import CheckpointError
from vfnet_build.repository import BuildOptions, RepositoryError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet build`."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--repository", type=Path, required=True, metavar="DIR", help="folder to write the model repository to"
    )
    parser.add_argument("--force", action="store_true", help="build even if the repository is up to date")


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """What to build, shared with `vfnet up` and `vfnet bench`."""
    parser.add_argument(
        "--checkpoint",
        default="demo",
        metavar="FILE|FOLDER|URL|coco|demo",
        help="a VFNet checkpoint of mmdet 2.x or 3.x, or the folder that AzureML's fine-tuning left; "
        "coco: OpenMMLab's published one; demo: needs no network (default)",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="for a checkpoint without meta: the stock configuration it was trained with, "
        "such as vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco",
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="for a checkpoint without meta: class names, one a line"
    )
    parser.add_argument(
        "--accept-preprocessing",
        action="store_true",
        help="for AzureML's folders: build although images are prepared MMDetection's way, not AzureML's",
    )
    parser.add_argument(
        "--engine",
        nargs="+",
        choices=ENGINES,
        default=["openvino"],
        metavar="NAME",
        help="what computes the network: openvino (default; CPUs), torch (GPUs), libtorch or tensorrt (in NVIDIA's "
        "server image); of several the first serves, and vfnet serve --model-config-name chooses another",
    )
    parser.add_argument(
        "--validation",
        nargs=2,
        type=Path,
        metavar=("ANNOTATIONS", "IMAGES"),
        help="for tensorrt: accept the plan only if it loses no more than 0.003 AP on these",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="f32", help="what the engine computes in (default: f32)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Build; 0, or 1 with the reason on stderr."""
    try:
        build_from(arguments, arguments.repository, force=arguments.force)
    except (CheckpointError, RepositoryError) as error:
        print(f"vfnet build: {error}", file=sys.stderr)
        return 1
    return 0


def build_from(arguments: argparse.Namespace, repository: Path, *, force: bool = False) -> bool:
    """Build what the options name; whether anything had to be done. Raises what `build` raises."""
    classes = arguments.classes
    return build(
        arguments.checkpoint,
        repository,
        BuildOptions(arguments.engine[0], arguments.precision, tuple(arguments.engine[1:])),
        architecture=arguments.architecture,
        classes=None if classes is None else classes.read_text(encoding="utf-8").splitlines(),
        accept_preprocessing=arguments.accept_preprocessing,
        validation=None if arguments.validation is None else tuple(arguments.validation),
        force=force,
    )
