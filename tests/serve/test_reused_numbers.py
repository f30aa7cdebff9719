"""Processes that end and whose numbers others get, as the watch of a server sees them."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from vfnet_runtime.proc_files import StatFile
from vfnet_serve import model_process
from vfnet_serve.model_process import ModelProcess
from vfnet_serve.watchdog import Watchdog

MODEL = "vfnet_preprocess"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_one_whose_number_another_had_before_it_was_looked_at_does_not_live(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = psutil.Process(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    monkeypatch.setattr(model_process, "StatFile", lambda _: StatFile(os.getpid()))
    found = ModelProcess(process, MODEL, "none")
    assert not found.is_alive()
    assert found.fault(Path("/nowhere"), 60) is None


def test_one_that_cannot_be_read_for_want_of_files_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shared memory would be removed while it lives."""

    def no_more_files(_: int) -> StatFile:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(model_process, "StatFile", no_more_files)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        ModelProcess(psutil.Process(), MODEL, "none")


def test_thousands_of_processes_that_were_watched_leave_no_file_open(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    process, before = psutil.Process(sleeper.pid), open_files()
    gc.disable()  # none waits for a collection
    try:
        for _ in range(2000):
            watched = ModelProcess(process, MODEL, "none")
            assert watched.is_alive()
            assert watched.fault(tmp_path, 60) is None
        assert open_files() < before + 10
    finally:
        gc.enable()


def test_a_number_that_a_dead_process_had_is_found_again_at_another(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [psutil.Process(sleeper.pid)]
    server: Any = SimpleNamespace(
        process=sleeper, children=lambda: list(children), activity_dir=tmp_path, seconds_without_answer=lambda: 0.0
    )
    watchdog = Watchdog(server, 60, lambda _message, _level: None)
    monkeypatch.setattr(ModelProcess, "of", lambda process: ModelProcess(process, MODEL, "none"))
    watchdog.expect({MODEL: 1})
    assert set(watchdog.processes) == {sleeper.pid}
    ended = watchdog.processes.pop(sleeper.pid)
    watchdog._gone.add(sleeper.pid)
    watchdog.expect({MODEL: 1})
    assert not watchdog.processes  # it is still there, though killed
    children.clear()
    watchdog.expect({MODEL: 1})
    children.append(ended.process)  # another by that number
    watchdog.expect({MODEL: 1})
    assert set(watchdog.processes) == {sleeper.pid}
