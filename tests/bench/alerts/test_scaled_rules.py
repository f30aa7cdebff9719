"""The rules with shorter hours."""

import pytest

from vfnet_bench.alerts.scaled_rules import scaled, seconds_of, with_latency_objective


def test_ranges_and_waits_are_divided() -> None:
    rules = [
        {"record": "a:b:1h", "expr": "avg_over_time(a[1h]) / rate(b[5m])"},
        {"alert": "A", "expr": "up == 0", "for": "2m", "labels": {"window": "1h"}},
    ]
    (group,) = scaled({"groups": [{"name": "g", "interval": "30s", "rules": rules}]}, 60)["groups"]
    assert group["interval"] == "1s"
    assert group["rules"][0] == {"record": "a:b:1h", "expr": "avg_over_time(a[60000ms]) / rate(b[5000ms])"}
    assert group["rules"][1] == {"alert": "A", "expr": "up == 0", "for": "2000ms", "labels": {"window": "1h"}}


def test_another_limit_of_latency() -> None:
    rule = {"record": "vfnet:objective:seconds", "expr": "vector(3)", "labels": {"le": "3.0"}}
    document = with_latency_objective({"groups": [{"rules": [rule]}]}, "0.5")
    assert document["groups"][0]["rules"][0] == rule | {"expr": "vector(0.5)", "labels": {"le": "0.5"}}


@pytest.mark.parametrize(("duration", "seconds"), [("30s", 30), ("5m", 300), ("6h", 21600), ("30d", 2592000)])
def test_durations(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


def test_a_duration_of_two_units_is_refused() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        seconds_of("1h30m")
