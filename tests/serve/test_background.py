"""Processes in the background: found again, told from others, stopped with all they started."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vfnet_serve.background import BackgroundProcess, StateFolder
from vfnet_supervision.process_identity import process_identity

_STUBBORN = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from vfnet_supervision.process_identity import process_identity
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
state = {"pid": os.getpid(), "identity": process_identity(os.getpid()), "stop_timeout": 0.2, "child": child.pid}
part = Path(sys.argv[1] + ".part")
part.write_text(json.dumps(state))
part.rename(sys.argv[1])
time.sleep(600)
"""


@pytest.fixture
def background(tmp_path: Path) -> BackgroundProcess:
    return StateFolder(tmp_path).server


def test_one_that_does_not_end_in_the_time_it_named_is_ended_with_what_it_started(
    background: BackgroundProcess,
) -> None:
    background.start([sys.executable, "-c", _STUBBORN, str(background.state_file)], timeout=60, is_ours=True)
    running = background.find()
    assert running is not None
    family = [running.process, psutil.Process(running.state["child"])]
    assert background.stop()
    assert background.find() is None
    assert not [process for process in family if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # what nobody waited for yet
    except psutil.NoSuchProcess:
        return False


def test_a_process_that_got_its_number_later_is_another(background: BackgroundProcess) -> None:
    own = psutil.Process()
    boot, ticks = process_identity(own.pid).split()
    for identity, is_it in (
        (f"{boot} {ticks}", True),
        (f"{boot} {int(ticks) - 1}", False),
        (f"another-{boot} {ticks}", False),
    ):
        background.state_file.write_text(json.dumps({"pid": own.pid, "identity": identity}))
        assert (background.find() is not None) is is_it


_STARTER = """
import subprocess
import sys
import time
from pathlib import Path
from vfnet_serve.background import StateFolder
never_ready = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
StateFolder(Path(sys.argv[1])).server.start(never_ready, timeout=600)
"""


@pytest.fixture
def unready(tmp_path: Path, background: BackgroundProcess) -> psutil.Process:
    """One that was not ready when who started it was killed."""
    starter = subprocess.Popen([sys.executable, "-c", _STARTER, str(tmp_path)])
    while not (any(tmp_path.glob("*.starting")) and background.log.read_text().endswith("\n")):
        assert starter.poll() is None
        time.sleep(0.02)
    starter.kill()
    starter.wait()
    process = psutil.Process(int(background.log.read_text()))
    assert is_alive(process)
    return process


def test_one_whose_start_was_killed_is_stopped(background: BackgroundProcess, unready: psutil.Process) -> None:
    assert background.find() is None
    assert background.stop()
    assert not is_alive(unready)
    assert not background.stop()


def test_one_whose_start_was_killed_makes_room_for_the_next(
    background: BackgroundProcess, unready: psutil.Process
) -> None:
    background.start([sys.executable, "-c", _STUBBORN, str(background.state_file)], timeout=60, is_ours=True)
    assert not is_alive(unready)
    assert background.stop()
