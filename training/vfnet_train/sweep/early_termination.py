"""What ends trials that do worse than others: Ray Tune's schedulers, and AutoML's bandit policy as one.

Imported where Ray is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from vfnet_train.sweep.settings import SweepSettings

TIME, FIGURE = "evaluation", "figure"
"""Names in what a trial reports: the number of the evaluation, from 1 on, and the figure that trials compete by."""
_MOST_EVALUATIONS = 10_000
_LEAST_OTHERS = 3
"""That are as far, before median_stopping decides: Ray Tune's default."""


def make_scheduler(settings: SweepSettings, curves: Sequence[Sequence[float]]) -> Any:
    """Ray Tune's scheduler for a policy.

    Args:
        curves: the figures of trials that are over, evaluation by evaluation: it knows them from the beginning.
    """
    least = max(1, settings.delay_evaluation)
    scheduler: Any
    if settings.early_termination == "asha":
        scheduler = AsyncHyperBandScheduler(
            time_attr=TIME,
            metric=FIGURE,
            mode="max",
            max_t=_MOST_EVALUATIONS,
            grace_period=least,
            reduction_factor=settings.reduction_factor,
            stop_last_trials=False,
        )
    elif settings.early_termination == "median_stopping":
        scheduler = MedianStoppingRule(
            time_attr=TIME,
            metric=FIGURE,
            mode="max",
            grace_period=least,
            min_samples_required=_LEAST_OTHERS,
            # A trial that has too few others to be compared with goes on, and does not make room for them.
            min_time_slice=float("inf"),
        )
    elif settings.early_termination == "bandit":
        scheduler = BanditPolicy(settings)
    else:
        scheduler = FIFOScheduler()
    for number, curve in enumerate(curves):
        trial = _PastTrial(f"past{number}")
        scheduler.on_trial_add(None, trial)
        result = {TIME: 0, FIGURE: 0.0}
        for evaluation, figure in enumerate(curve, 1):
            result = {TIME: evaluation, FIGURE: figure}
            scheduler.on_trial_result(None, trial, result)
        if curve:
            scheduler.on_trial_complete(None, trial, result)
    return scheduler


class BanditPolicy(FIFOScheduler):  # type: ignore[misc]
    """AutoML's: a trial ends whose best figure is beyond the slack from the best that any had after as many
    evaluations.

    With a factor of 0.2 and a best of 0.6, a trial ends below 0.6 / 1.2 = 0.5; with an amount of 0.2 below 0.4.
    """

    def __init__(self, settings: SweepSettings) -> None:
        super().__init__()
        self._settings = settings
        self._best: dict[int, float] = {}
        """Of all trials, by evaluation."""
        self._own: dict[str, float] = {}
        """Of each trial."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """See Ray's `TrialScheduler`."""
        evaluation, settings = int(result[TIME]), self._settings
        own = max(float(result[FIGURE]), self._own.get(trial.trial_id, float("-inf")))
        self._own[trial.trial_id] = own
        best = self._best[evaluation] = max(own, self._best.get(evaluation, float("-inf")))
        is_due = evaluation > settings.delay_evaluation and evaluation % settings.evaluation_interval == 0
        least = best - settings.slack_amount if settings.slack_amount is not None else best / (1 + settings.slack_share)
        # A best of 0 or less tells nothing: nothing was found yet, or there is nothing to find.
        stops: str = TrialScheduler.STOP if is_due and own < least and best > 0 else TrialScheduler.CONTINUE
        return stops


class _PastTrial:
    """What schedulers know of a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
