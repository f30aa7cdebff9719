"""MMDetection's own `inference_detector`, in a process of its environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.measurement import Target
from vfnet_bench.mmdet_process import mmdet_process
from vfnet_bench.network.agreement import FoundBox
from vfnet_bench.network.opponents.opponent import Conditions, Opponent

TARGET = Target(4.5, at_most=False)


def check(named: Path | None) -> None:
    """Raise BenchmarkError: there is no MMDetection."""
    mmdet_python(named)


def mmdet_python(named: Path | None) -> Path:
    """The interpreter that has MMDetection. Raises BenchmarkError: none was named."""
    if named is None:
        raise BenchmarkError("needs MMDetection 2.x: `make parity` installs it into .mmdet, --mmdet names another")
    return named


@contextmanager
def start(conditions: Conditions) -> Iterator[Opponent]:
    """Raises BenchmarkError: it cannot be run."""
    python = mmdet_python(conditions.mmdet_python)
    image = str(conditions.image.absolute())
    with mmdet_process(python, conditions.checkpoint, ("detect",), conditions.threads, conditions.scratch) as worker:

        def detect(path: Path) -> list[FoundBox]:
            return [FoundBox.from_row(row) for row in worker.run(str(path.absolute())).result]

        yield Opponent(
            f"MMDetection {worker.versions['mmdet']}",
            "one at a time",
            "s",
            lambda: worker.run(image).seconds,
            detect,
            worker.versions,
            TARGET,
        )
