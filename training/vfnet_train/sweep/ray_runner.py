"""Trials on a Ray cluster. What they come to stands in their folders: of Ray's own files none is read again."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vfnet_batch.ray_runner.cluster import connected
from vfnet_train.errors import FinetuneError
from vfnet_train.interruption import Interruption, noticed_signals
from vfnet_train.metrics import Record
from vfnet_train.sweep.search_space import shown
from vfnet_train.sweep.settings import SweepSettings
from vfnet_train.sweep.trials import STOPPED, Outcome, Trial, run_trial

_RAY_FOLDER, _TRIAL = ".ray", "trial"
_TRIES = 3
"""Of a trial whose process dies, as of too little memory: each goes on from what the last one saved."""
_VARIABLES = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # we have our own, also for SIGTERM
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # tables of its own
    "RAY_AIR_NEW_OUTPUT": "0",  # which would tell of Ray's own files
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


@dataclass(frozen=True)
class Resources:
    """What trials get."""

    cpus: float
    gpus: float
    """Of each."""
    concurrent: int
    """So many at the same time."""


class MoreTrials(Protocol):
    """Trials that are not decided yet."""

    @property
    def most(self) -> int:
        """So many may come."""
        ...

    def next(self) -> Trial | None:
        """Decide the next one, by what all before have come to, and write it down; None: there is none."""
        ...


def run_trials(
    trials: Sequence[Trial],
    todo: Sequence[Trial],
    settings: SweepSettings,
    resources: Resources,
    say: Callable[[str], None],
    more: MoreTrials | None = None,
) -> tuple[dict[int, str], int]:
    """Run what is left to do, until a signal comes.

    Args:
        trials: all that there are; early termination compares with those that are over.
        more: come behind them.

    Returns:
        Why trials could not be finished, by number; and the number of the signal, or 0.

    Raises:
        FinetuneError: there is no such cluster.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _VARIABLES.items()})
    folder = trials[0].settings.output.parent.parent / _RAY_FOLDER
    needed = resources.concurrent * resources.cpus + 1
    # Ray sets a handler of its own for SIGTERM, which ends the process: ours comes behind it.
    with connected(settings.ray, needed, FinetuneError), noticed_signals() as interruption:
        try:
            return _run(trials, todo, settings, resources, interruption, say, str(folder), more), 0
        except _InterruptError:
            return {}, interruption.signal_number
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    trials: Sequence[Trial],
    todo: Sequence[Trial],
    settings: SweepSettings,
    resources: Resources,
    interruption: Interruption,
    say: Callable[[str], None],
    folder: str,
    more: MoreTrials | None,
) -> dict[int, str]:
    from ray import tune
    from ray.tune.search import Searcher

    from vfnet_train.sweep.early_termination import FIGURE, TIME, make_scheduler

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors, with tracebacks: `on_trial_error` tells them
    metric, total = trials[0].settings.best_metric, len(trials) + (more.most if more is not None else 0)
    running = {trial.number for trial in todo}
    over = [[record[metric] for record in trial.evaluations] for trial in trials if trial.number not in running]

    def train(config: dict[str, Any]) -> None:
        evaluations = 0

        def report(record: Record) -> None:
            nonlocal evaluations
            evaluations += 1
            tune.report({TIME: evaluations, FIGURE: record[metric], "epoch": record["epoch"]})

        run_trial(config[_TRIAL], report)

    class Follower(tune.Callback):  # type: ignore[misc]
        """Tells what happens, writes down who was stopped, and ends everything after a signal."""

        def __init__(self) -> None:
            self.failures: dict[int, str] = {}
            self.best = max((r[metric] for each in trials for r in each.evaluations), default=-1.0)

        def on_step_begin(self, **_: Any) -> None:
            if interruption.signal_number:
                raise _InterruptError

        def on_trial_start(self, trial: Any, **_: Any) -> None:
            ours = self._ours(trial)
            say(f"trial {ours.number} of {total}: {shown(ours.point)}")

        def on_trial_result(self, trial: Any, result: dict[str, Any], **_: Any) -> None:
            number, figure = self._ours(trial).number, result[FIGURE]
            mark = " (the best so far)" if figure > self.best else ""
            self.best = max(self.best, figure)
            say(f"trial {number}, epoch {result['epoch']}: {metric} {figure:.4f}{mark}")

        def on_trial_complete(self, trial: Any, **_: Any) -> None:
            ours = self._ours(trial)
            self.failures.pop(ours.number, None)
            outcome = ours.outcome
            if outcome is None:  # it did not end by itself
                evaluations = len(ours.evaluations)
                outcome = Outcome(STOPPED, f"{settings.early_termination}, after {evaluations} evaluations")
                ours.decide(outcome)
            say(f"trial {ours.number} {outcome.kind}" + (f": {outcome.reason}" if outcome.reason else ""))

        def on_trial_error(self, trial: Any, **_: Any) -> None:
            lines = str(trial.get_error() or "its process died").strip().splitlines()
            self.failures[self._ours(trial).number] = lines[-1] if lines else ""
            say(f"trial {self._ours(trial).number} could not go on: {lines[-1] if lines else ''}")

        def _ours(self, trial: Any) -> Trial:
            ours: Trial = trial.config[_TRIAL]
            return ours

    class Proposals(Searcher):  # type: ignore[misc]
        """What is left to do, and then those that are decided when it is their turn. It learns from our files."""

        def __init__(self) -> None:
            super().__init__(metric=FIGURE, mode="max")
            self._waiting = list(todo)

        def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
            trial = None
            if self._waiting:
                trial = self._waiting.pop(0)
            elif more is not None:
                trial = more.next()
            return self.FINISHED if trial is None else {_TRIAL: trial}

        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            pass

        def save(self, checkpoint_path: str) -> None:
            pass

    follower = Follower()
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(
            scheduler=make_scheduler(settings, over),
            search_alg=Proposals(),
            num_samples=len(todo) + (more.most if more is not None else 0),
            max_concurrent_trials=resources.concurrent,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=folder,
            verbose=0,
            callbacks=[follower],
            failure_config=tune.FailureConfig(max_failures=_TRIES - 1),
        ),
    )
    tuner.fit()
    return follower.failures


class _InterruptError(BaseException):
    """A signal came. Not an Exception: Ray Tune would handle it."""
