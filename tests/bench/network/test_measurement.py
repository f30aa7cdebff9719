"""Medians, quartiles, paired ratios and targets."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_bench.measurement import Measurement, Target, median_interval, quartiles, ratios

AT_MOST_TWO = Target(2.0, at_most=True)


@given(st.lists(st.floats(0.001, 1000), min_size=2, max_size=30))
def test_quartiles_are_those_of_the_standard_library(values: list[float]) -> None:
    spread = quartiles(values)
    expected = statistics.quantiles(values, n=4, method="inclusive")
    assert [spread.lower, spread.median, spread.upper] == pytest.approx(expected)


def test_one_value_is_its_own_median_and_quartiles() -> None:
    spread = quartiles([3.0])
    assert (spread.lower, spread.median, spread.upper) == (3.0, 3.0, 3.0)


def test_ratios_are_of_paired_rounds_and_not_of_medians() -> None:
    # The machine was slow in the second round, for both. The medians' ratio would be 4 / 2.
    over = Measurement("over", "s", (1.5, 12.0, 4.0))
    under = Measurement("under", "s", (1.0, 10.0, 2.0))
    found = ratios("over / under", over, under, AT_MOST_TWO)
    assert found.values == (1.5, 1.2, 2.0)
    assert quartiles(found.values).median == 1.5


def test_ratios_refuse_measurements_of_different_rounds() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios("x", Measurement("a", "s", (1.0, 2.0)), Measurement("b", "s", (1.0,)), AT_MOST_TWO)


@pytest.mark.parametrize(("at_most", "value", "met"), [(True, 2.1, False), (True, 2.0, True), (False, 1.9, False)])
def test_a_target_bounds_from_its_side(at_most: bool, value: float, met: bool) -> None:
    assert Target(2.0, at_most).is_met(value) is met


def test_the_median_decides_whether_a_target_is_met() -> None:
    assert Measurement("x", "", (1.0, 1.0, 9.0), AT_MOST_TWO).is_met() is True
    assert Measurement("x", "", (1.0, 9.0, 9.0), AT_MOST_TWO).is_met() is False
    assert Measurement("x", "", (1.0,)).is_met() is None


def test_the_json_keeps_every_value_in_order() -> None:
    document = json.loads(json.dumps(Measurement("served", "s", (3.0, 1.0, 2.0), AT_MOST_TWO).to_json()))
    assert document == {
        "name": "served",
        "unit": "s",
        "median": 2.0,
        "quartiles": [1.5, 2.5],
        "values": [3.0, 1.0, 2.0],
        "target": {"at_most": 2.0},
        "met": True,
    }


def test_an_interval_holds_the_median_and_narrows_with_the_rounds() -> None:
    few, many = median_interval([0.9, 1.0, 1.1]), median_interval([0.9, 1.0, 1.1] * 20)
    assert few == (0.9, 1.1)
    assert few[0] < many[0] <= 1.0 <= many[1] < few[1]
    assert median_interval([2.0]) == (2.0, 2.0)
