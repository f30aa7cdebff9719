"""A process's record of its work, as `vfnet serve` reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vfnet_runtime.triton_models.process_activity import ProcessActivity
from vfnet_serve.activity_records import ActivityRecord, read_record


def record(directory: Path) -> ActivityRecord:
    found = read_record(directory, os.getpid())
    assert found is not None
    return found


def test_a_new_record_says_that_nothing_is_at_work(tmp_path: Path) -> None:
    before = time.monotonic()
    ProcessActivity(str(tmp_path))
    assert record(tmp_path).at_work == 0
    assert before <= record(tmp_path).changed <= time.monotonic()


def test_requests_are_counted_while_they_are_at_work(tmp_path: Path) -> None:
    activity = ProcessActivity(str(tmp_path))
    with activity.working():
        assert record(tmp_path).at_work == 1
        activity.change(+1)
        assert record(tmp_path).at_work == 2
        activity.change(-1)
        assert record(tmp_path).at_work == 1
    assert record(tmp_path).at_work == 0


def test_every_change_is_dated(tmp_path: Path) -> None:
    activity = ProcessActivity(str(tmp_path))
    for step in (+1, +1, -1, -1):
        before = time.monotonic()
        activity.change(step)
        assert before <= record(tmp_path).changed <= time.monotonic()


def test_a_failure_ends_the_work_too(tmp_path: Path) -> None:
    activity = ProcessActivity(str(tmp_path))
    with pytest.raises(RuntimeError), activity.working():
        raise RuntimeError
    assert record(tmp_path).at_work == 0


def test_a_restarted_process_of_the_same_number_begins_anew(tmp_path: Path) -> None:
    ProcessActivity(str(tmp_path)).change(+3)
    ProcessActivity(str(tmp_path))
    assert record(tmp_path).at_work == 0


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for directory in (None, ""):
        activity = ProcessActivity(directory)
        with activity.working():
            pass
    assert not list(tmp_path.iterdir())


def test_the_directory_is_the_environments(tmp_path: Path) -> None:
    script = (
        "from vfnet_runtime.triton_models.process_activity import ProcessActivity; import os; "
        "ProcessActivity().change(+1); print(os.getpid())"
    )
    environment = os.environ | {"VFNET_ACTIVITY_DIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    pid = int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    found = read_record(tmp_path, pid)
    assert found is not None
    assert found.at_work == 1
