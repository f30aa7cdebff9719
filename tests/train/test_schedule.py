"""The learning rate by step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vfnet_train.optimisation import Schedule
from vfnet_train.settings import OptimizerSettings


def factors(epochs: int = 12, steps_per_epoch: int = 10, **settings: object) -> list[float]:
    schedule = Schedule(OptimizerSettings(**settings), epochs, steps_per_epoch)  # type: ignore[arg-type]
    return [schedule.factor(step) for step in range(schedule.total_steps)]


def test_step_falls_by_ten_after_the_epochs_of_mmdets_1x_schedule() -> None:
    found = factors(schedule="step")
    assert found[:80] == [1.0] * 80
    assert found[80:110] == pytest.approx([0.1] * 30)
    assert found[110:] == pytest.approx([0.01] * 10)


def test_step_epochs_can_be_chosen() -> None:
    found = factors(schedule="step", step_epochs=(2,))
    assert (found[19], found[20], found[-1]) == (1.0, 0.1, 0.1)


def test_warm_up_is_linear_from_its_ratio_as_mmcvs() -> None:
    found = factors(schedule="step", warmup_steps=20, warmup_ratio=0.1)
    # mmcv 1.7.2: rate * (1 - (1 - step / warmup_iters) * (1 - warmup_ratio))
    assert found[:20] == pytest.approx([0.1 + 0.9 * step / 20 for step in range(20)])
    assert found[20] == 1.0


def test_warmup_linear_ends_near_zero() -> None:
    found = factors(schedule="warmup_linear", warmup_steps=20, warmup_ratio=0.0)
    assert found[0] == 0.0
    assert found[20] == 1.0
    assert found[-1] == pytest.approx(1 / 100)
    assert all(later < earlier for earlier, later in pairwise(found[20:]))


def test_warmup_cosine_is_halfway_down_in_the_middle() -> None:
    found = factors(schedule="warmup_cosine")
    assert found[0] == 1.0
    assert found[60] == pytest.approx(0.5)
    assert found[-1] < 0.001


def test_constant_stays() -> None:
    assert set(factors(schedule="constant")) == {1.0}
