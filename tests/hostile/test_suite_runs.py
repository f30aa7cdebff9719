"""How the suite counts: many requests as one attack, and a run in parts as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

import suite_report
from attack import DOOR, TRITON, Attack, Reply, answered, refused
from deployment import Deployment, Resources
from judging import Verdict
from suite_runs import SuiteRun, read_run, write_run
from sweeping import at_once, sweep, swept

NOWHERE = cast(Deployment, None)
HELD = Resources(500 << 20, 140, 260, 5 << 20, 1)


def replies(outcome: str) -> Any:
    return lambda _deployment: Reply(outcome, f"it was {outcome}")


def run(name: str, planned: int = 1, **more: Any) -> SuiteRun:
    attack = Attack("tiles", name, DOOR if "door" in name else TRITON, replies("400"), why_not_mended="as it is")
    return SuiteRun(
        [Verdict(attack, Reply("400", "no"), 0.5, 0.25, 1 << 20, **more)], planned, HELD, HELD, ["a name by x"], 7.0
    )


def test_a_sweep_tells_of_the_first_reply_that_is_not_allowed() -> None:
    good, bad = ("good", replies("400"), refused), ("bad", replies("500"), refused)
    assert swept(sweep([good, ("odd", replies("200"), answered)])(NOWHERE))
    found = sweep([good, bad, ("never sent", cast(Any, None), refused)])(NOWHERE)
    assert not swept(found)
    assert str(found) == "let through bad: 500 it was 500"


def test_callers_at_once_are_counted_by_what_they_were_told() -> None:
    assert at_once([replies("400"), replies("429"), replies("400")], refused)(NOWHERE).text == "2 x 400, 1 x 429"
    assert "it was 500" in at_once([replies("400"), replies("500")], refused)(NOWHERE).text


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = run("one", through=["died: triton"], restarts=["triton"], healed_after=float("inf"))
    write_run(written, tmp_path / "run.json")
    (found,) = read_run(tmp_path / "run.json").verdicts
    (expected,) = written.verdicts
    assert str(found.attack) == str(expected.attack)
    assert (found.reply, found.through, found.healed_after) == (expected.reply, expected.through, expected.healed_after)
    assert read_run(tmp_path / "run.json").after == HELD


def test_parts_are_written_together_once_each_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    monkeypatch.setattr(suite_report, "write_section", lambda _name, lines: written.append(lines))
    suite_report.write_parts(run("of the door"), tmp_path, 1, 2)
    assert written == []
    suite_report.write_parts(run("of Triton", planned=2), tmp_path, 2, 2)
    (lines,) = written
    text = "\n".join(lines)
    assert "2 of 3 attacks in 14 s, in 2 parts" in text
    assert "| door | tiles | 1 | 0 | 0.2 | 1 |" in text
    assert "| triton | tiles | 1 | 0 | 0.2 | 1 |" in text
    assert list(tmp_path.iterdir()) == []  # nothing for a later part to be reported with
