"""The trials of a sweep: a training each, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import locked_file, write_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.commands.settings_options import fields_by_option, read_value
from vfnet_client.exceptions import VFNetError
from vfnet_train.errors import FinetuneError, InterruptedTrainingError
from vfnet_train.finetuning import finetune
from vfnet_train.metrics import Metrics, Record
from vfnet_train.settings import CHANGEABLE, AugmentationSettings, FinetuneSettings, OptimizerSettings
from vfnet_train.sweep.search_space import Point, shown

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
_NOT_TRIED_OUT = {*CHANGEABLE, "classes", "init_classes", "architecture", "best_metric"} - {"init"}
"""Settings that have no influence on the result, or without which results cannot be compared."""
_MOST_BYTES = 1 << 20
_PARTS = (FinetuneSettings, OptimizerSettings, AugmentationSettings)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    kind: str
    """`FINISHED`; `STOPPED` by early termination; `FAILED` by its settings, as it would each time."""
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """One of them. Its folder is that of a `vfnet finetune` with these settings."""

    number: int
    """From 1 on."""
    point: Point
    settings: FinetuneSettings

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.settings.output.name

    @property
    def log(self) -> Path:
        """What it says."""
        return self.settings.output.with_name(f"{self.name}.log")

    @property
    def lock(self) -> Path:
        """Held by the process that trains it."""
        return self.settings.output.with_name(f".{self.name}.lock")

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None: it has not.

        Raises:
            FinetuneError: its file cannot be read.
        """
        path = self._outcome_file
        if not path.exists():
            return None
        try:
            return Outcome(**json.loads(read_text(path, _MOST_BYTES)))
        except (OSError, ValueError, TypeError):
            raise FinetuneError(f"{path} cannot be read; remove it to run this trial again") from None

    def decide(self, outcome: Outcome) -> None:
        """Write down how it ended."""
        document = {"kind": outcome.kind, "reason": outcome.reason}
        write_inside(self._outcome_file, json.dumps(document, ensure_ascii=False).encode() + b"\n")

    @property
    def evaluations(self) -> list[Record]:
        """Its epochs that were evaluated, in order."""
        metric = self.settings.best_metric
        return [record for record in Metrics(self.settings.output).read() if metric in record]

    @property
    def _outcome_file(self) -> Path:
        return self.settings.output.with_name(f"{self.name}.json")


def options_to_try() -> dict[str, tuple[type[Any], str]]:
    """The class and the field of settings of each option that can be tried out."""
    return {
        option: (part, field)
        for part in _PARTS
        for option, field in fields_by_option(part).items()
        if field not in _NOT_TRIED_OUT
    }


def make_trial(number: int, point: Point, base: FinetuneSettings) -> Trial:
    """The training at a point of the search space.

    Args:
        base: all other settings; its `output` is the folder of the sweep.

    Raises:
        FinetuneError: these settings cannot be; the message names trial and values.
    """
    options = options_to_try()
    changes: dict[type[Any], dict[str, Any]] = {part: {} for part in _PARTS}
    try:
        for name, value in point.items():
            part, field = options[name]
            try:
                changes[part][field] = read_value(part, field, value)
            except ValueError as error:
                raise FinetuneError(f"{name}: {error}") from None
        settings = replace(
            base,
            output=base.output / "trials" / f"{number:04}",
            optimizer=replace(base.optimizer, **changes[OptimizerSettings]),
            augmentation=replace(base.augmentation, **changes[AugmentationSettings]),
            **changes[FinetuneSettings],
        )
    except FinetuneError as error:
        raise FinetuneError(f"trial {number} ({shown(point)}) cannot be: {error}") from None
    return Trial(number, point, settings)


def run_trial(trial: Trial, report: Callable[[Record], None]) -> None:
    """Train, or go on with it, saying what there is to say to its log; and write down how it ended.

    Args:
        report: called with each epoch's figures that was evaluated, first with those of before. May raise to stop.
    """
    trial.log.parent.mkdir(parents=True, exist_ok=True)

    def tell(record: Record) -> None:
        if trial.settings.best_metric in record:
            report(record)

    with (
        locked_file(trial.lock),  # a sweep that was killed may have left a process that still trains, for a moment
        trial.log.open("a", buffering=1) as log,
        contextlib.redirect_stderr(log),
    ):
        try:
            finetune(trial.settings, tell)
        except InterruptedTrainingError:
            raise
        except VFNetError as error:
            print(f"vfnet finetune: {error}", file=log)
            trial.decide(Outcome(FAILED, str(error)))
        else:
            trial.decide(Outcome(FINISHED))
