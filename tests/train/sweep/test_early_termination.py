"""Which trials are ended, by policy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any


def stops(curve: list[float], others: list[list[float]], **chosen: Any) -> int | None:
    """After how many evaluations a trial is ended, with others that are over; None: never."""
    from vfnet_train.sweep.early_termination import FIGURE, TIME, make_scheduler
    from vfnet_train.sweep.settings import SweepSettings

    scheduler = make_scheduler(SweepSettings(Path("space.toml"), **chosen), others)
    trial = type("Trial", (), {"trial_id": "this"})()
    controller = SimpleNamespace(get_live_trials=lambda: [SimpleNamespace(status="PENDING")])
    scheduler.on_trial_add(controller, trial)
    for evaluation, figure in enumerate(curve, 1):
        decision = scheduler.on_trial_result(controller, trial, {TIME: evaluation, FIGURE: figure})
        assert decision in ("STOP", "CONTINUE")
        if decision == "STOP":
            return evaluation
    return None


GOOD = [[0.2, 0.4, 0.5, 0.6, 0.62], [0.1, 0.3, 0.5, 0.55, 0.6], [0.2, 0.3, 0.4, 0.5, 0.6]]
BAD = [0.1, 0.1, 0.1, 0.1, 0.1]


def test_none_ends_nothing() -> None:
    assert stops(BAD, GOOD) is None


def test_bandit_ends_what_is_beyond_the_slack_from_the_best() -> None:
    at_the_edge = [0.2, 0.4, 0.5, 0.5, 0.52]  # 0.6 / 1.2 = 0.5
    chosen: dict[str, Any] = {"early_termination": "bandit", "slack_factor": 0.2}
    assert stops(at_the_edge, GOOD, **chosen) is None
    assert stops([0.2, 0.4, 0.5, 0.5, 0.51], GOOD, **chosen) == 5  # 0.62 / 1.2
    assert stops(BAD, GOOD, **chosen) == 1
    assert stops(BAD, GOOD, **chosen, delay_evaluation=2) == 3
    assert stops(BAD, GOOD, **chosen, delay_evaluation=2, evaluation_interval=2) == 4
    assert stops(BAD, GOOD, early_termination="bandit", slack_amount=0.35) == 3
    assert stops([0.4, 0.1, 0.1], GOOD, **chosen) == 3  # its best counts: 0.4 < 0.5 / 1.2


def test_bandit_waits_while_nothing_is_found() -> None:
    assert stops([0.0, -1.0], [[0.0, 0.0]], early_termination="bandit", slack_factor=0.2) is None


def test_median_stopping_ends_what_is_worse_than_the_median_of_means() -> None:
    assert stops(BAD, GOOD, early_termination="median_stopping", delay_evaluation=2) == 2
    assert stops(GOOD[0], GOOD, early_termination="median_stopping") is None
    assert stops(BAD, GOOD[:2], early_termination="median_stopping") is None  # too few to be compared with


def test_asha_lets_one_of_so_many_go_on_from_each_rung() -> None:
    chosen: dict[str, Any] = {"early_termination": "asha", "reduction_factor": 2.0}
    assert stops(BAD, GOOD, **chosen) == 1
    assert stops(BAD, GOOD, **chosen, delay_evaluation=3) == 3
    assert stops([0.3, 0.5, 0.6, 0.7, 0.8], GOOD, **chosen) is None
