"""A point of a search space as the settings of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_train.errors import FinetuneError
from vfnet_train.settings import FinetuneSettings
from vfnet_train.sweep.search_space import Value
from vfnet_train.sweep.settings import SweepSettings
from vfnet_train.sweep.trials import FAILED, Outcome, make_trial, options_to_try

BASE = FinetuneSettings((Path("a.jsonl"),), "demo", Path("sweep"))


def test_values_reach_the_settings_wherever_they_belong() -> None:
    point: dict[str, Value] = {
        "learning-rate": 3e-4, "schedule": "step", "batch-size": 2, "photometric-distortion": True,
        "scale": ["200x100", "300x150"], "init": "coco", "max-gradient-norm": 0,
    }  # fmt: skip
    trial = make_trial(7, point, BASE)
    settings = trial.settings
    assert settings.output == Path("sweep/trials/0007")
    assert (settings.optimizer.learning_rate, settings.optimizer.schedule) == (3e-4, "step")
    assert (settings.batch_size, settings.init, settings.optimizer.max_gradient_norm) == (2, "coco", None)
    assert settings.augmentation.photometric_distortion
    assert settings.augmentation.scales == ((200, 100), (300, 150))
    assert make_trial(1, {"batch-size": "auto"}, BASE).settings.batch_size is None


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"learning-rate": -1}, "learning-rate: '-1' is not a number above 0"),
        ({"schedule": "cosine"}, "'cosine' is none of warmup_linear"),
        ({"photometric-distortion": 1}, "neither true nor false"),
        ({"learning-rate": True}, "no value of it"),
        ({"batch-size": [1, 2]}, "not one value"),
        ({"ema-decay": 1.0}, "the EMA decay is 1.0"),
    ],
)
def test_a_trial_that_cannot_be_is_named_with_its_values(point: dict[str, Value], said: str) -> None:
    with pytest.raises(FinetuneError, match=said) as raised:
        make_trial(3, point, BASE)
    assert str(raised.value).startswith(f"trial 3 ({next(iter(point))} ")


def test_what_has_no_influence_on_the_result_is_not_tried_out() -> None:
    options = options_to_try()
    assert {"learning-rate", "scale", "init", "epochs"} <= options.keys()
    assert not {"workers", "output", "device", "best-metric", "save-every"} & options.keys()


def test_how_a_trial_ended_is_kept(tmp_path: Path) -> None:
    trial = make_trial(1, {"learning-rate": 1e-3}, FinetuneSettings((Path("a"),), "demo", tmp_path))
    assert trial.outcome is None
    trial.log.parent.mkdir()
    trial.decide(Outcome(FAILED, "it diverged"))
    assert trial.outcome == Outcome(FAILED, "it diverged")
    trial.settings.output.with_name("0001.json").write_text("[]")
    with pytest.raises(FinetuneError, match=r"0001\.json cannot be read"):
        _ = trial.outcome


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"sampling": "sobol"}, "known are random, grid, bayesian"),
        ({"early_termination": "hyperband"}, "known are none, bandit, median_stopping, asha"),
        ({"early_termination": "asha", "slack_factor": 0.1}, "bandit's alone"),
        ({"early_termination": "bandit", "slack_factor": 0.1, "slack_amount": 0.1}, "exclude each other"),
        ({"early_termination": "asha", "reduction_factor": 1.0}, "above 1"),
    ],
)
def test_settings_of_a_sweep_that_make_no_sense_are_refused(chosen: dict[str, object], said: str) -> None:
    with pytest.raises(FinetuneError, match=said):
        SweepSettings(Path("space.toml"), **chosen)  # type: ignore[arg-type]
