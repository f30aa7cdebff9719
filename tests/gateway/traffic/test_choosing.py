"""Shares are kept, callers stay, and a share that grows moves as few as it must."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vfnet_gateway.traffic.choosing import Chooser

CALLERS = [f"user-{number}" for number in range(20_000)]


def reach(share: float, draws: int) -> float:
    """By how much a share of so many draws differs with a probability of one in a million, at most."""
    return float(4.9 * (share * (1 - share) / draws) ** 0.5)


@pytest.mark.parametrize("share", [{"a": 90.0, "b": 10.0}, {"a": 0.5, "b": 99.5}, {"a": 70.0, "b": 20.0, "c": 10.0}])
def test_shares_are_kept_by_chance_and_by_caller(share: dict[str, float]) -> None:
    random.seed(7)
    chooser = Chooser(share)
    for found in (
        Counter(chooser.at_random() for _ in CALLERS),
        Counter(chooser.for_caller(caller) for caller in CALLERS),
    ):
        for name, percent in share.items():
            assert found[name] / len(CALLERS) == pytest.approx(percent / 100, abs=reach(percent / 100, len(CALLERS)))


def test_who_has_no_share_gets_nothing() -> None:
    chooser = Chooser({"a": 0.0, "b": 100.0, "c": 0.0})
    assert {chooser.at_random() for _ in range(1000)} == {"b"}
    assert {chooser.for_caller(caller) for caller in CALLERS[:1000]} == {"b"}


def test_a_caller_has_one_deployment_in_any_process_and_in_any_order_of_names() -> None:
    one, other = Chooser({"a": 60.0, "b": 40.0}), Chooser({"b": 40.0, "a": 60.0})
    assert [one.for_caller(caller) for caller in CALLERS[:1000]] == [
        other.for_caller(caller) for caller in CALLERS[:1000]
    ]
    assert [one.for_caller(caller) for caller in ("", "ann", "bob", "\udcff", "x" * 8000)] == ["a", "a", "b", "b", "a"]


@pytest.mark.parametrize(("before", "after"), [(10.0, 20.0), (20.0, 90.0), (0.0, 1.0), (50.0, 100.0)])
def test_only_those_move_who_have_to(before: float, after: float) -> None:
    was, now = (Chooser({"a": 100.0 - share, "b": share}) for share in (before, after))
    moved = [(was.for_caller(caller), now.for_caller(caller)) for caller in CALLERS]
    assert all(pair in (("a", "a"), ("b", "b"), ("a", "b")) for pair in moved)
    share = (after - before) / 100
    assert moved.count(("a", "b")) / len(CALLERS) == pytest.approx(share, abs=reach(share, len(CALLERS)))
