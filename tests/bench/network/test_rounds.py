"""The order in which contestants are measured."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from vfnet_bench.progress import Progress
from vfnet_bench.rounds import Contestant, run_rounds, turn_order


class Counter:
    """A contestant whose values tell when they were taken."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def measure(self, name: str) -> float:
        self.calls.append(name)
        return float(len(self.calls))


def run(names: str, rounds: int) -> tuple[Counter, list[tuple[float, ...]]]:
    counter = Counter()
    contestants = [Contestant(name, "s", partial(counter.measure, name)) for name in names]
    measurements = run_rounds(contestants, rounds, Progress())
    assert [measurement.name for measurement in measurements] == list(names)
    return counter, [measurement.values for measurement in measurements]


def test_each_round_measures_everyone_once_and_the_first_round_does_not_count() -> None:
    counter, values = run("abc", rounds=4)
    for start in range(0, 15, 3):
        assert sorted(counter.calls[start : start + 3]) == ["a", "b", "c"]
    assert all(len(column) == 4 for column in values)
    assert sorted(itertools.chain(*values)) == [float(number) for number in range(4, 16)]


def test_values_stand_with_their_contestant_and_round() -> None:
    counter, values = run("ab", rounds=3)
    for name, column in zip("ab", values, strict=True):
        assert [counter.calls[int(value) - 1] for value in column] == [name] * 3
        assert [(int(value) - 1) // 2 for value in column] == [1, 2, 3]


@pytest.mark.parametrize("count", [4, 5])
def test_everyone_comes_first_and_nobody_always_after_the_same(count: int) -> None:
    orders = [turn_order(number, count) for number in range(2 * count)]
    assert {order[0] for order in orders} == set(range(count))
    for index in range(count):
        before = {order[order.index(index) - 1] for order in orders if order[0] != index}
        assert len(before) > 1


def test_a_log_tells_of_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    run("ab", rounds=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["warm-up", "round 1 of 2", "round 2 of 2"]
