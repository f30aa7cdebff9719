"""What a person chooses about a sweep, beside the trainings' own settings.

Names and meanings are those of AutoML's sweep settings (`limits`, `sampling_algorithm`, `early_termination`), where Ray
Tune has the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vfnet_client.commands.options import count
from vfnet_client.commands.settings_options import Count, File
from vfnet_train.argument_types import not_negative, positive
from vfnet_train.errors import FinetuneError

SAMPLINGS = ("random", "grid", "bayesian")
POLICIES = ("none", "bandit", "median_stopping", "asha")
USUAL_TRIALS = 20
"""Of random and bayesian sampling, where nobody says."""


@dataclass(frozen=True)
class SweepSettings:
    """One sweep."""

    space: File
    """TOML: the options that are tried out, each with its values or its range."""
    sampling: Annotated[str, SAMPLINGS] = "random"
    """How trials are chosen; grid: every combination; bayesian: by what those before have come to."""
    max_trials: Count | None = None
    """Of the sweep, which may be told more later (default: 20, or the whole grid)."""
    max_concurrent_trials: Count = 1
    """At the same time."""
    early_termination: Annotated[str, POLICIES] = "none"
    """What ends trials that do worse than others."""
    evaluation_interval: Count = 1
    """Evaluations from one decision of bandit to the next."""
    delay_evaluation: Annotated[int, count, "N"] = 0
    """Evaluations of each trial before the first decision."""
    slack_factor: Annotated[float, not_negative, "SHARE"] | None = None
    """For bandit: a trial ends that is worse than the best by more than this, as a share (default: 0.2)."""
    slack_amount: Annotated[float, not_negative, "AMOUNT"] | None = None
    """The same as a difference of the figure, instead of --slack-factor."""
    reduction_factor: Annotated[float, positive, "N"] = 4.0
    """For asha: one of so many trials goes on from each rung."""
    ray: str = "local"
    """The Ray cluster: host:port, auto for the one this runs in, local for this machine alone."""
    trial_cpus: Annotated[float, positive, "N"] | None = None
    """Of each trial, and its --threads (default: this machine's, shared out)."""
    trial_gpus: Annotated[float, not_negative, "N"] | None = None
    """Of each trial (default: 1 where this machine has a GPU, unless --device is cpu)."""

    def __post_init__(self) -> None:
        problems = []
        for name, value, known in (
            ("sampling", self.sampling, SAMPLINGS),
            ("early termination", self.early_termination, POLICIES),
        ):
            if value not in known:
                problems.append(f"the {name} is {value!r}; known are {', '.join(known)}")
        if self.slack_factor is not None and self.slack_amount is not None:
            problems.append("--slack-factor and --slack-amount exclude each other")
        if self.early_termination != "bandit" and (
            self.slack_factor is not None or self.slack_amount is not None or self.evaluation_interval != 1
        ):
            problems.append("--slack-factor, --slack-amount and --evaluation-interval are bandit's alone")
        if self.reduction_factor <= 1:
            problems.append(f"the reduction factor is {self.reduction_factor:g}; it is above 1")
        if problems:
            raise FinetuneError("; ".join(problems))

    @property
    def policy(self) -> str:
        """The early termination as text: what makes a sweep another one."""
        name = self.early_termination
        if name == "none":
            return name
        told = f"{name}, from evaluation {self.delay_evaluation + 1} on"
        if name == "bandit":
            slack = f"{self.slack_amount:g}" if self.slack_amount is not None else f"{100 * self.slack_share:g} %"
            told += f", every {self.evaluation_interval}, slack {slack}"
        return told + (f", 1 of {self.reduction_factor:g}" if name == "asha" else "")

    @property
    def slack_share(self) -> float:
        """`slack_factor`, or its default."""
        return 0.2 if self.slack_factor is None else self.slack_factor
