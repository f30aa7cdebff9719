"""What options of a training are written as."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from vfnet_client.commands.options import at_least_one
from vfnet_model.checkpoints.class_names import read_class_list
from vfnet_model.checkpoints.errors import CheckpointError


def positive(text: str) -> float:
    """A number above 0."""
    return _number(text, above=True)


def not_negative(text: str) -> float:
    """A number from 0 on."""
    return _number(text, above=False)


def norm_or_none(text: str) -> float | None:
    """A number above 0; None for 0."""
    return not_negative(text) or None


def count_or_auto(text: str) -> int | None:
    """A whole number from 1 on; None for auto."""
    return None if text == "auto" else at_least_one(text)


def class_names(text: str) -> tuple[str, ...]:
    """A file of names, one a line, as `vfnet build --classes` reads it."""
    try:
        return tuple(read_class_list(Path(text)))
    except CheckpointError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str, *, above: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (above and value == 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number {'above' if above else 'from'} 0")
    return value
