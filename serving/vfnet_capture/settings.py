"""What an operator chooses to capture."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Annotated

from vfnet_client.byte_sizes import byte_count
from vfnet_client.commands.options import at_least_one, fraction, percent


def days(text: str) -> float:
    """An argument: more than 0, at most a hundred years."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days, such as 30 or 0.5")
    return value


@dataclass(frozen=True)
class CaptureSettings:
    """Which images are kept, where, and how much of them. Options of `vfnet gateway` are made of this."""

    store: Annotated[str, "--capture", "DIR|URL"] | None = None
    """Keep images that were answered in this folder, or at s3://bucket/prefix (default: none are kept).

    None: nothing is kept."""
    share: Annotated[float, percent, "--capture-share", "PERCENT"] = 1.0
    """Of all images, chosen evenly."""
    below: Annotated[float, fraction, "--capture-below", "SCORE"] | None = None
    """Also all whose least certain box that counts scores lower (default: none)."""
    classes: tuple[Annotated[str, "--capture-classes", "CLASS"], ...] = ()
    """Also all in which one of these is found."""
    disagreements: Annotated[bool, "--capture-disagreements"] = False
    """Also all that a mirrored deployment answers differently."""
    max_bytes: Annotated[int, byte_count, "--capture-max-bytes", "SIZE"] = 1 << 30
    """Of images and records together; the oldest that nobody has reviewed go first."""
    max_count: Annotated[int, at_least_one, "--capture-max-count", "N"] = 10_000
    """Images."""
    max_age: Annotated[float, days, "--capture-max-age", "DAYS"] = 30.0
    """Older images go, also reviewed ones."""

    def __post_init__(self) -> None:
        if self.store is None and (self.below is not None or self.classes or self.disagreements):
            raise ValueError("--capture says where to keep what the other --capture options choose: give it too")
