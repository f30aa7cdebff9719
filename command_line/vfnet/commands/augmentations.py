"""The options of test-time augmentation, for what detects with a checkpoint here."""

from __future__ import annotations

import argparse

from vfnet_client.commands.options import scale
from vfnet_model.augmentations import Augmentations


def add_augmentation_arguments(parser: argparse.ArgumentParser) -> None:
    """Read by `augmentations_from`."""
    group = parser.add_argument_group("test-time augmentation: detect in several views of each image and merge")
    group.add_argument("--flip", action="store_true", help="also mirrored, which takes twice as long")
    group.add_argument(
        "--scales",
        type=scale,
        nargs="+",
        default=[],
        metavar="LONGxSHORT",
        help="at each of these scales, such as 1333x800 1000x600, in place of the checkpoint's own",
    )


def augmentations_from(arguments: argparse.Namespace) -> Augmentations:
    """What was given of `add_augmentation_arguments`."""
    return Augmentations(flip=arguments.flip, scales=tuple(arguments.scales))
