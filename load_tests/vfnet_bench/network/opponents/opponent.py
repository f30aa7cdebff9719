"""What every opponent of the served detector is: something to time, and something that detects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vfnet_bench.measurement import Target
from vfnet_bench.network.agreement import FoundBox


@dataclass(frozen=True)
class Conditions:
    """The same for all."""

    checkpoint: Path
    """The file that the repository was built from."""
    image: Path
    """The one that is timed."""
    threads: int
    concurrency: int
    """Images in flight, for those who take several."""
    mmdet_python: Path | None
    """The interpreter of an environment with MMDetection 2.x."""
    scratch: Path
    """A folder for files and logs."""


@dataclass(frozen=True)
class Opponent:
    """A detector that is ready."""

    name: str
    manner: str
    """`one at a time`, or how many are in flight."""
    unit: str
    """`s` of one image, or `images/s`."""
    measure: Callable[[], float]
    """Takes one value, in `unit`."""
    detect: Callable[[Path], list[FoundBox]]
    """In one image."""
    versions: dict[str, str]
    target: Target | None = None
    """How many times as fast as this one the served detector should be."""
