"""A selection of the attacks on a running server; `make hostile` is the whole of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from attack import DOOR, TRITON, Attack, Reply, refused
from deployment import Deployment, deployed
from hostile_suite import all_attacks
from judging import Judge, unmended
from reference_answers import Reference, take_reference
from side_gateways import SideGateways, side_gateways
from urls_and_keys import NAMES

_EACH_GROUP = 8
"""Attacks of one group and target, spread over all of them."""


@pytest.fixture(scope="module")
def deployment(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything that `vfnet up` starts."""
    with deployed(tmp_path_factory.mktemp("hostile"), f"--checkpoint={demo_checkpoint}", names=NAMES) as running:
        yield running


@pytest.fixture(scope="module")
def reference(deployment: Deployment) -> Reference:
    """What is answered before anything happened."""
    return take_reference(deployment)


@pytest.fixture(scope="module")
def sides(
    deployment: Deployment, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SideGateways]:
    """A gateway with keys, and one that may fetch."""
    with side_gateways(deployment, reference, tmp_path_factory.mktemp("sides")) as running:
        yield running


def selected(attacks: list[Attack]) -> list[Attack]:
    """Quick ones that need not bring Triton down, from every group."""
    groups: dict[tuple[str, str], list[Attack]] = defaultdict(list)
    for attack in attacks:
        if attack.is_quick and not attack.why_not_mended:
            groups[attack.target, attack.group].append(attack)
    return [each for group in groups.values() for each in group[:: max(1, len(group) // _EACH_GROUP)]]


def test_nothing_comes_through(deployment: Deployment, reference: Reference, sides: SideGateways) -> None:
    verdicts = Judge(deployment, reference).run(selected(all_attacks(sides)))
    assert len(verdicts) > 60
    for target in (DOOR, TRITON):
        through = unmended(verdicts, target)
        assert not through, [f"{verdict.attack}: {'; '.join(verdict.through)}" for verdict in through]
    assert not deployment.network_attempts()


def test_refusals_are_told_from_failures() -> None:
    assert all(refused(Reply(outcome)) for outcome in ("400", "403", "404", "429", "INVALID_ARGUMENT", "closed"))
    assert not any(
        refused(Reply(outcome)) for outcome in ("200", "500", "503", "OK", "INTERNAL", "UNAVAILABLE", "silent")
    )
