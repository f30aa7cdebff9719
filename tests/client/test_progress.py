"""How far long work is: lines of a log, bars of a terminal."""

from __future__ import annotations

import io
import json
import sys

import pytest

from vfnet_client.progress import BYTES, Progress, with_progress


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


class Terminal(io.StringIO):
    """What says that it is one."""

    def isatty(self) -> bool:
        return True


def test_a_line_has_the_rate_and_the_time_left() -> None:
    progress = Progress("evaluating", 5000)
    progress.advance(300)
    assert progress.line(120) == "evaluating: 300 of 5000 images, 2.5 images/s, 31 min 20 s left"
    assert progress.line(1200) == "evaluating: 300 of 5000 images, 4 s/image, 5 h 13 min left"


def test_work_that_was_done_before_makes_nothing_faster() -> None:
    progress = Progress("scoring", 100, before=80)
    progress.advance(10)
    assert progress.line(5) == "scoring: 90 of 100 images, 2 images/s, 5 s left"
    assert progress.advanced == 10


def test_an_unknown_total_leaves_the_time_left_out() -> None:
    progress = Progress("reading", None, "row")
    assert progress.line(1) == "reading: 0 rows"
    progress.advance(30)
    assert progress.line(10) == "reading: 30 rows, 3 rows/s"


def test_first_steps_that_take_long_are_not_counted() -> None:
    progress = Progress("training", 100, "step")
    progress.advance()
    progress.restart_clock()
    progress.advance(10)
    progress.describe("epoch 1 of 2", {"loss": "0.5", "lr": "1e-05"})
    assert progress.line(5) == "epoch 1 of 2: 11 of 100 steps, 2 steps/s, 44 s left; loss 0.5, lr 1e-05"


def test_bytes_are_told_in_megabytes_at_both_ends_of_each_transfer(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("", unit=BYTES, speaker="a.pth", tells_ends=True) as progress:
        progress.begin(0, None)
        progress.advance(2_000_000)
        progress.say("the connection failed; trying again")
        progress.begin(2_000_000, 5_000_000)
        progress.advance(3_000_000)
    assert lines(capsys) == [
        "a.pth: 0.0 MB",
        "a.pth: the connection failed; trying again",
        "a.pth: 2.0 of 5.0 MB",
        "a.pth: 5.0 of 5.0 MB",
    ]


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    for line_seconds, expected in ((0.0, 2), (60.0, 0), (None, 0)):
        with Progress("checking", 2, line_seconds=line_seconds) as progress:
            progress.begin()
            progress.advance()
            progress.advance()
        assert len(lines(capsys)) == expected


def test_what_is_not_to_be_shown_is_not_even_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("training", 1, shown=False, tells_ends=True, line_seconds=0) as progress:
        progress.begin()
        progress.say("a remark")
        progress.advance()
    assert lines(capsys) == []


def test_remarks_are_printable_and_say_who_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("", speaker="vfnet batch").say("a\x1b[2Jb")
    assert lines(capsys) == ["vfnet batch: a\\x1b[2Jb"]


def test_a_terminal_gets_a_bar_and_remarks_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress("scoring", 4, before=1, speaker="vfnet batch", tells_ends=True, keeps_bar=True) as progress:
        progress.begin()
        progress.say("a server is away")
        progress.write("a result", sys.stdout)
        progress.advance(3)
    written = terminal.getvalue()
    assert capsys.readouterr().out == "a result\n"
    assert "vfnet batch: a server is away\n" in written
    assert "scoring: 100%" in written
    assert "4/4" in written
    assert "4 of 4 images" not in written  # that is a log's


def test_items_come_as_they_are_and_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(with_progress(iter("abc"), 3, "checking images")) == list("abc")
    assert terminal.getvalue().strip() == ""


def test_for_machines_each_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("scoring", 2, speaker="vfnet batch", tells_ends=True, is_for_machines=True) as progress:
        progress.begin()
        progress.say("two\nlines")
        progress.advance(2)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {(line["level"], line["logger"]) for line in lines} == {("INFO", "vfnet batch")}
    assert lines[1]["message"] == "two\nlines"
    assert lines[-1]["message"].startswith("scoring: 2 of 2 images")
