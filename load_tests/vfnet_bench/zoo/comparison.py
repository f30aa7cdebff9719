"""One network of the zoo after another: built, served, and beside MMDetection in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vfnet_bench.measurement import Measurement, quartiles, ratios
from vfnet_bench.network.agreement import Agreement, compare_detections
from vfnet_bench.network.opponents.mmdet import start
from vfnet_bench.network.opponents.opponent import Conditions
from vfnet_bench.network.served_detector import serving_detector
from vfnet_bench.progress import Progress
from vfnet_bench.report import table
from vfnet_bench.rounds import Contestant, run_rounds
from vfnet_bench.zoo.random_checkpoint import write_random_checkpoint
from vfnet_build.building import build
from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_model.manifest import BuildOptions
from vfnet_runtime.processor_cores import available_cores


@dataclass(frozen=True)
class ZooOptions:
    """What a person chooses."""

    stems: tuple[str, ...]
    """Of `ARCHITECTURES`."""
    image: Path
    rounds: int
    precision: str
    mmdet_python: Path | None
    """Without it the served ones are measured alone."""


@dataclass(frozen=True)
class ZooRow:
    """One network."""

    stem: str
    seconds_to_ready: float
    served: Measurement
    mmdet: Measurement | None
    agreement: Agreement | None

    @property
    def speed(self) -> Measurement | None:
        """How many times as fast as MMDetection, round by round."""
        return None if self.mmdet is None else ratios(self.stem, self.mmdet, self.served, None)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        measured = {"served": self.served, "mmdet": self.mmdet, "speed": self.speed}
        return {
            "network": self.stem,
            "seconds_to_ready": self.seconds_to_ready,
            **{name: each.to_json() for name, each in measured.items() if each is not None},
            "detections": None if self.agreement is None else asdict(self.agreement),
        }


def distinct_stems() -> list[str]:
    """One for each architecture, in the order of mmdet's: the other configurations are trained otherwise only."""
    firsts = {config: stem for stem, config in reversed(ARCHITECTURES.items())}
    return sorted(firsts.values(), key=list(ARCHITECTURES).index)


def compare_zoo(options: ZooOptions) -> list[ZooRow]:
    """Measure each.

    Raises:
        BenchmarkError: MMDetection does not run.
        BuildError, ServerError, VFNetClientError: a network cannot be built or served.
    """
    progress, rows = Progress("zoo"), []
    for number, stem in enumerate(options.stems, 1):
        progress.say(f"{stem}, {number} of {len(options.stems)}")
        with tempfile.TemporaryDirectory(prefix="vfnet-zoo-") as folder:
            rows.append(_measure(stem, options, Path(folder), progress))
        progress.say(zoo_table(rows[-1:]))
    return rows


def _measure(stem: str, options: ZooOptions, scratch: Path, progress: Progress) -> ZooRow:
    checkpoint = scratch / f"{stem}.pth"
    write_random_checkpoint(ARCHITECTURES[stem], checkpoint)
    build(str(checkpoint), scratch / "repository", BuildOptions(precision=options.precision))
    with ExitStack() as running:
        served = running.enter_context(serving_detector(scratch, options.image.read_bytes(), concurrency=1))
        contestants = [Contestant("served", "s", served.latency)]
        agreement = None
        if options.mmdet_python is not None:
            conditions = Conditions(checkpoint, options.image, available_cores(), 1, options.mmdet_python, scratch)
            opponent = running.enter_context(start(conditions))
            contestants.append(Contestant(opponent.name, opponent.unit, opponent.measure))
            ours, theirs = served.detect(options.image), opponent.detect(options.image)
            agreement = compare_detections(opponent.name, [ours], [theirs])
        measured = run_rounds(contestants, options.rounds, progress)
    return ZooRow(stem, served.seconds_to_ready, measured[0], measured[1] if len(measured) > 1 else None, agreement)


def zoo_table(rows: Sequence[ZooRow]) -> str:
    """Markdown: medians; of the speed the quartiles too."""
    head = ("network", "MMDetection", "served", "times as fast", "ready after", "equal boxes")
    return table(head, [_cells(row) for row in rows])


def _cells(row: ZooRow) -> tuple[str, ...]:
    speed, agreement = row.speed, row.agreement
    times = "" if speed is None else "{0.median:.2f} ({0.lower:.2f} to {0.upper:.2f})".format(quartiles(speed.values))
    return (
        row.stem.removeprefix("vfnet_").removesuffix("_coco"),
        "" if row.mmdet is None else f"{quartiles(row.mmdet.values).median:.2f} s",
        f"{quartiles(row.served.values).median:.2f} s",
        times,
        f"{row.seconds_to_ready:.1f} s",
        "" if agreement is None else f"{agreement.equal} of {agreement.served}, {agreement.found}",
    )
