"""The parts of supervision that need no processes."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from vfnet_serve.supervision.log_files import KEPT, rotate_if_large, tail
from vfnet_serve.supervision.restart_policy import MOST_FAILURES, RestartPolicy
from vfnet_serve.supervision.wanted import Wanted, WantedProcess, code_version, read_wanted, withdraw


def test_pauses_grow_and_end() -> None:
    random.seed(0)
    policy = RestartPolicy(proven=True)
    pauses = [policy.pause_after_end(by_itself=False) for _ in range(MOST_FAILURES + 1)]
    assert pauses[0] == 0
    assert pauses[-1] is None
    assert all(pause is not None and 0 < pause <= 1.25 * 30 for pause in pauses[1:-1])
    assert pauses[1] < 1 < pauses[-2]  # type: ignore[operator]
    assert len({round(pause / 0.25 / 2**n, 3) for n, pause in enumerate(pauses[1:5], 1) if pause}) > 1  # jitter


def test_what_was_ready_for_a_while_has_started_well() -> None:
    policy = RestartPolicy(proven=True)
    for _ in range(3 * MOST_FAILURES):
        assert policy.pause_after_end(by_itself=True) == 0 or policy.failures == 2
        policy.started_well()


def test_an_end_with_a_reason_before_the_first_readiness_is_final() -> None:
    assert RestartPolicy().pause_after_end(by_itself=True) is None
    assert RestartPolicy().pause_after_end(by_itself=False) == 0


def test_a_log_is_rotated_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(KEPT + 2):
            writer.write(b"%d" % number * 200)
            assert rotate_if_large(log, max_bytes=100)
        writer.write(b"newest\n")
    assert log.read_text() == "newest\n"
    assert [part.read_text()[0] for part in sorted(tmp_path.glob("server.log.*"))] == ["4", "3", "2"]
    assert not rotate_if_large(log, max_bytes=100)


def test_the_last_words_are_whole_lines_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("before\nfirst\nsecond\n")
    assert tail(log, len("before\n")) == "first\nsecond"
    assert tail(log, 0, max_bytes=9) == "second"
    log.write_text("rotated since\n")
    assert tail(log, 1000) == "rotated since"
    assert tail(tmp_path / "none") == ""


def test_what_should_run_is_private_whole_and_withdrawn(tmp_path: Path) -> None:
    assert read_wanted(tmp_path) is None
    process = WantedProcess(["program"], "state", "log", "1", {"KEYS": "secret", "OTHER": None})
    wanted = Wanted({"gateway": process}, ["supervisor"], "2")
    old = os.umask(0)
    try:
        wanted.write(tmp_path)
    finally:
        os.umask(old)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_wanted(tmp_path) == wanted
    assert process.fingerprint() == read_wanted(tmp_path).processes["gateway"].fingerprint()  # type: ignore[union-attr]
    file.write_text('{"processes": {}}')
    with pytest.raises(ValueError, match="another version"):
        read_wanted(tmp_path)
    withdraw(tmp_path)
    withdraw(tmp_path)
    assert read_wanted(tmp_path) is None


def test_other_code_has_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    page = package / "page.html"
    page.write_text("old")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    first = code_version(["some_package"])
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "page.pyc").write_text("compiled")
    assert code_version(["some_package"]) == first
    page.write_text("new")
    second = code_version(["some_package"])
    assert second != first
    (tmp_path / "dependency-2.0.dist-info").mkdir()
    assert code_version(["some_package"]) not in (first, second)
