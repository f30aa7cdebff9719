"""Processes in the background: found again, told from others, stopped with all they started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

from vfnet_client.process_identity import process_identity
from vfnet_serve.background import BackgroundProcess, StateFolder

_STUBBORN = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from vfnet_client.process_identity import process_identity
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
