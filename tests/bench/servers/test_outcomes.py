"""What callers counted while servers were killed, stopped and started again, and how it is told."""

from __future__ import annotations

import time

import pytest

from vfnet_bench.commands.servers import Event, _event_table, _rate_table
from vfnet_bench.servers.callers import GatewayCallers, Outcome


def test_what_was_answered_before_does_not_count() -> None:
    callers = GatewayCallers(1, "grpc://127.0.0.1:1", b"", 2)
    since = time.monotonic() - 3.5
    callers._answers += [(since - 1, since - 0.1), (since - 0.1, since + 0.4), (since + 1, since + 2.5)]
    callers._failures.append("it went wrong")
    outcome = callers.outcome(since)
    assert (outcome.answered, outcome.failures, outcome.worst_second) == (2, ("it went wrong",), 0)
    assert outcome.slowest == pytest.approx(1.5)
    assert outcome.rate == pytest.approx(2 / 3.5, rel=0.1)


def test_a_column_for_each_number_of_servers_and_a_row_for_each_event() -> None:
    outcome = Outcome(10.0, 1000, (), 0.25, 90)
    slower = Outcome(10.0, 800, (), 0.25, 70)
    rates = _rate_table({0.0: [[outcome], [outcome]], 40.0: [[slower, outcome], [outcome, outcome]]}).splitlines()
    assert [cell.strip() for cell in rates[0].split("|")[1:-1]] == ["images/s", "1 server", "2 servers"]
    assert [cell.strip() for cell in rates[3].split("|")[1:-1]] == [
        "40 ms an image",
        "90 (80 to 100)",
        "100 (100 to 100)",
    ]
    events = _event_table([Event("killed", 0.1, 5.0, outcome), Event("restarted", None, 6.0, outcome)]).splitlines()
    assert [cell.strip() for cell in events[2].split("|")[1:-1]] == [
        "killed", "1000", "0", "0.1", "5.0", "100.0", "90", "0.2"
    ]  # fmt: skip
    assert [cell.strip() for cell in events[3].split("|")[1:-1]][3] == ""
