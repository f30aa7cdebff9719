"""Some processes of a running server are killed or stopped while callers ask; `make faults` is the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment import Deployment, deployed
from fault_suite import FORGIVEN
from faults import every_fault, few_faults, in_order
from inflicting import Inflicter, describe
from reference_answers import take_reference


@pytest.fixture(scope="module")
def deployment(thin_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything that `vfnet up` starts."""
    with deployed(tmp_path_factory.mktemp("faults"), f"--checkpoint={thin_checkpoint}") as running:
        yield running


def test_processes_that_die_or_stop_are_replaced_and_callers_behind_the_gateway_do_not_see_it(
    deployment: Deployment,
) -> None:
    reference = take_reference(deployment)
    faults = few_faults(in_order(deployment.census()))
    outcomes = Inflicter(deployment, reference, seed=17).run(faults, seconds=120)
    assert len(outcomes) == len(faults)
    for outcome in outcomes:
        assert outcome.healed_after is not None, describe(outcome)
        assert not outcome.wrong, describe(outcome)
        assert not set(outcome.failed) - {FORGIVEN}, describe(outcome)


def test_every_process_is_killed_and_stopped_alone_and_with_every_other() -> None:
    roles = ("vfnet_detector", "triton", "gateway")
    faults = every_fault(roles, seed=1)
    assert faults == every_fault(roles, seed=1)
    assert {frozenset(blow.role for blow in fault.blows) for fault in faults if len(fault.blows) == 2} >= {
        frozenset(pair) for pair in (roles[:2], roles[1:], roles[::2])
    }
    assert {(fault.blows[0].role, fault.blows[0].what) for fault in faults if len(fault.blows) == 1} == {
        (role, what) for role in roles for what in ("kill -9", "SIGSTOP")
    }
