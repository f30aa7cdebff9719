"""`sweep`: from a search space to the best of several trainings, a table and a plot."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vfnet_client.atomic_files import durable_file, locked_file, write_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.safe_text import printable_lines
from vfnet_runtime.processor_cores import available_cores
from vfnet_train.errors import FinetuneError, InterruptedTrainingError
from vfnet_train.preparation import prepare
from vfnet_train.run_folder import BEST_CHECKPOINT, LAST_CHECKPOINT, claim_folder
from vfnet_train.settings import FinetuneSettings, identity
from vfnet_train.sweep.bayesian_sampling import next_point
from vfnet_train.sweep.ray_runner import Resources, run_trials
from vfnet_train.sweep.results import SweepResults, write_results
from vfnet_train.sweep.search_space import Point, SearchSpace, read_search_space
from vfnet_train.sweep.settings import USUAL_TRIALS, SweepSettings
from vfnet_train.sweep.trials import Trial, make_trial, options_to_try

POINTS_FILE, LOCK_FILE = "trials.json", ".sweep.lock"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SweepOutcome:
    """What came of it."""

    results: SweepResults
    checkpoint: Path
    """The best trial's."""


def sweep(base: FinetuneSettings, settings: SweepSettings) -> SweepOutcome:
    """Run the trials, or go on with the sweep that `base.output` holds. Progress is told on stderr.

    Args:
        base: what all trials have in common; `output` is the folder of the sweep.

    Raises:
        DatasetError: the data cannot be used; nothing was computed or written.
        CheckpointError: neither can the checkpoint.
        FinetuneError: anything else that stops a sweep; an InterruptedTrainingError after a signal. What was done
            stands in the folder.
    """
    if not base.validation:
        raise FinetuneError("a sweep compares its trials on validation data: --validation names them")
    base = _absolute(base)
    options = options_to_try()
    space = read_search_space(settings.space, list(options))
    points = _points(space, settings, base.seed)
    trials = [make_trial(number, point, base) for number, point in enumerate(points, 1)]
    preparation = prepare(trials[0].settings)  # what is wrong with the data is said before anything starts
    for note in preparation.notes:
        _say(note)
    tried = {options[name][1] for name in space.names}
    own = _identity(base, settings, space, tried, preparation.identity)
    with ExitStack() as held:
        if (base.output / LOCK_FILE).exists():  # first: claiming removes unfinished files, which may be another's
            held.enter_context(_locked(base.output))
            claim_folder(base.output, own, "sweep")
        else:
            claim_folder(base.output, own, "sweep")
            held.enter_context(_locked(base.output))
        trials = _with_earlier(trials, base)
        resources, more = _resources(base, settings), None
        if settings.sampling == "bayesian":
            more = _Proposals(space, base, resources, trials, max(0, (_most(settings) or 0) - len(trials)))
        return _run(base, settings, resources, trials, more)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only process that runs the sweep in a folder. Raises FinetuneError: another does."""
    with ExitStack() as held:
        try:
            held.enter_context(locked_file(folder / LOCK_FILE, wait=False))
        except BlockingIOError:
            raise FinetuneError(f"another process runs the sweep in {folder}") from None
        yield


@dataclass
class _Proposals:
    """The trials that bayesian sampling adds, one after another."""

    space: SearchSpace
    base: FinetuneSettings
    resources: Resources
    trials: list[Trial]
    """All so far; each one that is proposed comes behind them."""
    most: int
    """So many may come."""
    problem: FinetuneError | None = None
    """Why the next one cannot be."""

    def next(self) -> Trial | None:
        """The next one, written down; None: the space has no more, or a `problem`."""
        tried = [(trial.point, _figure(trial)) for trial in self.trials]
        point = next_point(self.space, tried, self.base.seed)
        if point is None:
            return None
        try:
            trial = make_trial(len(self.trials) + 1, point, self.base)
        except FinetuneError as error:  # not through Ray, which would tell it with its own files
            self.problem = error
            return None
        self.trials.append(trial)
        _write_points(self.trials, self.base)
        return replace(trial, settings=_on(trial.settings, self.resources))


def _figure(trial: Trial) -> float | None:
    """What it came to; 0 where it failed before it could be evaluated; None: it is not over."""
    if trial.outcome is None:
        return None
    return max((float(record[trial.settings.best_metric]) for record in trial.evaluations), default=0.0)


def _run(
    base: FinetuneSettings,
    settings: SweepSettings,
    resources: Resources,
    trials: Sequence[Trial],
    more: _Proposals | None,
) -> SweepOutcome:
    todo = [trial for trial in trials if trial.outcome is None]
    left = len(todo) + (more.most if more is not None else 0)
    count = len(trials) + left - len(todo)
    _say(f"{count} trials, {left} to run; best by {base.best_metric}; early termination: {settings.policy}")
    failures: dict[int, str] = {}
    signal_number = 0
    try:
        if left:
            todo = [replace(trial, settings=_on(trial.settings, resources)) for trial in todo]
            failures, signal_number = run_trials(trials, todo, settings, resources, _say, more)
    finally:
        results = SweepResults.of(trials, base.best_metric)
        write_results(results, base.output)
        checkpoint = _keep_best(results, base.output)
    if signal_number:
        raise InterruptedTrainingError(
            f"stopped; what was trained is saved in {base.output}: the same command goes on from there", signal_number
        )
    if failures:
        number, reason = next(iter(failures.items()))
        raise FinetuneError(
            f"{len(failures)} of {len(trials)} trials could not be finished, such as {number} ({reason}): "
            f"{base.output / 'trials'} has their logs, and the same command tries them again"
        )
    if more is not None and more.problem is not None:
        raise more.problem
    if checkpoint is None:
        raise FinetuneError(f"no trial was evaluated even once: {base.output / 'trials'} has their logs")
    return SweepOutcome(results, checkpoint)


def _points(space: SearchSpace, settings: SweepSettings, seed: int) -> list[Point]:
    """Of all trials; of bayesian sampling, the first one's."""
    if settings.sampling != "bayesian":
        return space.points(settings.sampling, _most(settings), seed)
    first = next_point(space, (), seed)
    return [] if first is None else [first]


def _most(settings: SweepSettings) -> int | None:
    if settings.max_trials is None and settings.sampling != "grid":
        return USUAL_TRIALS
    return settings.max_trials


def _identity(
    base: FinetuneSettings,
    settings: SweepSettings,
    space: SearchSpace,
    tried: set[str],
    of_first: dict[str, str],
) -> dict[str, str]:
    """What makes a sweep this one, as text by name: how many trials it has does not."""
    own = {name: value for name, value in identity(base).items() if name not in tried}
    digests = {name: of_first[name] for name in ("data", "validation data", "classes")}
    if "init" not in tried:
        digests["initial weights"] = of_first["initial weights"]
    texts = {parameter.name: f"{parameter.distribution} {list(parameter.values)}" for parameter in space.parameters}
    return own | digests | {
        "search space": json.dumps(texts, ensure_ascii=False),
        "sampling": settings.sampling,
        "early termination": settings.policy,
    }  # fmt: skip


def _with_earlier(trials: Sequence[Trial], base: FinetuneSettings) -> list[Trial]:
    """The trials that this folder's file lists, and those behind them; the file lists them all afterwards.

    A sweep that goes on may have more of them, and none of what was tried changes, whatever draws random numbers.
    """
    path = base.output / POINTS_FILE
    made: list[Trial] = []
    if path.exists():
        try:
            earlier: list[Point] = json.loads(read_text(path, _MOST_BYTES))
            made = [make_trial(number, point, base) for number, point in enumerate(earlier, 1)]
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            raise FinetuneError(f"{path} cannot be read; choose another --output") from None
    made += trials[len(made) :]
    _write_points(made, base)
    return made


def _write_points(trials: Sequence[Trial], base: FinetuneSettings) -> None:
    document = json.dumps([trial.point for trial in trials], indent=2, ensure_ascii=False)
    write_inside(base.output / POINTS_FILE, document.encode() + b"\n")


def _resources(base: FinetuneSettings, settings: SweepSettings) -> Resources:
    cpus = settings.trial_cpus or max(1, available_cores() // settings.max_concurrent_trials)
    gpus = settings.trial_gpus
    if gpus is None:
        gpus = float(base.device != "cpu" and torch.cuda.is_available())
    return Resources(cpus, gpus, settings.max_concurrent_trials)


def _on(settings: FinetuneSettings, resources: Resources) -> FinetuneSettings:
    return settings if settings.threads else replace(settings, threads=max(1, int(resources.cpus)))


def _keep_best(results: SweepResults, folder: Path) -> Path | None:
    """Copy the best trial's checkpoint to the top."""
    if results.best is None:
        return None
    own, target = results.best.trial.settings.output, folder / BEST_CHECKPOINT
    # There is no best one where nothing could be counted, or where the trial was killed before it was written.
    source = next((own / name for name in (BEST_CHECKPOINT, LAST_CHECKPOINT) if (own / name).exists()), None)
    if source is None:
        return None
    with source.open("rb") as weights, durable_file(target) as file:
        shutil.copyfileobj(weights, file)
    return target


def _absolute(settings: FinetuneSettings) -> FinetuneSettings:
    """Every path from the root on: trials may run in other folders."""

    def whole(paths: Sequence[Path]) -> tuple[Path, ...]:
        return tuple(path.absolute() for path in paths)

    return replace(
        settings,
        data=whole(settings.data),
        images=whole(settings.images),
        validation=whole(settings.validation),
        validation_images=whole(settings.validation_images),
        output=settings.output.absolute(),
        init=str(Path(settings.init).absolute()) if Path(settings.init).exists() else settings.init,
    )


def _say(message: str) -> None:
    print(printable_lines(f"vfnet sweep: {message}"), file=sys.stderr, flush=True)
