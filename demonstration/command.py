"""The options of `python -m demonstration`: make the demonstration checkpoint anew."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from pathlib import Path

from demonstration.recipe import make_demonstration
from demonstration.settings import DemonstrationSettings
from vfnet_client.commands.options import at_least_one, count, fraction, scale
from vfnet_train.argument_types import positive
from vfnet_train.settings import PRECISIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m demonstration`."""
    default = DemonstrationSettings(Path(), Path(), Path())
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="the data set odFridgeObjects")
    parser.add_argument("--backbone", type=Path, required=True, metavar="FILE", help="thin_resnet50_backbone.npz")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="for everything; to go on, give the same again"
    )
    counted = "(default: %(default)s)"
    for name, value, help_text in (
        ("--scenes", default.scenes, "rendered for training "),
        ("--validation-scenes", default.validation_scenes, "rendered for the model card's figures "),
        ("--epochs", default.epochs, ""),
        ("--batch-size", default.batch_size, "images a step "),
    ):
        parser.add_argument(name, type=at_least_one, default=value, metavar="N", help=f"{help_text}{counted}")
    parser.add_argument(
        "--scale",
        type=scale,
        default=default.scale,
        metavar="LONGxSHORT",
        help=f"pixels an image is resized to fit (default: {_shown(default.scale)})",
    )
    parser.add_argument("--learning-rate", type=positive, default=default.learning_rate, metavar="RATE", help=counted)
    parser.add_argument("--ema-decay", type=fraction, default=default.ema_decay, metavar="SHARE", help=counted)
    parser.add_argument("--seed", type=count, default=default.seed, metavar="N", help=f"of the training {counted}")
    parser.add_argument("--precision", choices=PRECISIONS, default=default.precision, help=counted)
    parser.add_argument(
        "--trained", type=Path, metavar="FILE", help="do not train: these are the weights that such a training left"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (default: torch's choice)")


def run(arguments: argparse.Namespace) -> int:
    """Make it; 0."""
    values = {field.name: getattr(arguments, field.name) for field in fields(DemonstrationSettings)}
    settings = DemonstrationSettings(**values)
    made = make_demonstration(settings, _command(settings), arguments.trained)
    print(made.checkpoint, made.model_card, sep="\n", flush=True)
    return 0


def _command(settings: DemonstrationSettings) -> str:
    """What makes the same checkpoint elsewhere: without this machine's folders."""
    words = ["python", "-m", "demonstration", "--photos", settings.photos.name, "--backbone", settings.backbone.name]
    words += ["--output", settings.output.name]
    default = DemonstrationSettings(Path(), Path(), Path())
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in ("photos", "backbone", "output", "threads") or value == getattr(default, field.name):
            continue
        words += [f"--{field.name.replace('_', '-')}", _shown(value)]
    return shlex.join(words)


def _shown(value: object) -> str:
    """As it is typed: a scale as 512x384."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
