"""Where the cores' time goes while images are computed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from vfnet_bench.network.core_time import BARE, CALLERS, IDLE, TRITON, WATCHDOG, CoreClock, CoreTime, CoreTimes

BUSY = 0.3
"""Seconds of a core; what is counted is rounded to a hundredth."""
SERVER = """
import subprocess, sys, time
command = [sys.executable, "-c", sys.argv[1], "/models/vfnet_detector/1/model.py"]
child = subprocess.Popen(command, stdin=subprocess.PIPE)
print("ready", flush=True)
sys.stdin.readline()
child.communicate(b"\\n")
time.sleep(10)
"""
MODEL = f"""
import sys, time
sys.stdin.readline()
while time.process_time() < {BUSY}:
    pass
print("done", flush=True)
time.sleep(10)
"""


def compute(seconds: float = BUSY) -> float:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return 42.0


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A stand-in whose child, a model's process by its command line, computes once when it is sent a line."""
    command = [sys.executable, "-c", SERVER, MODEL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        for each in (*psutil.Process(process.pid).children(), process):
            each.kill()


def test_what_this_process_does_is_counted_by_the_image() -> None:
    clock = CoreClock(2, BARE)
    for _ in range(2):
        assert clock.measure(3, compute) == 42.0
    spent = clock.typical()
    assert spent.seconds[BARE] == pytest.approx(BUSY / 3, abs=0.02)
    assert spent.seconds[IDLE] >= BUSY / 3 - 0.02  # of two cores, one at least did nothing
    assert spent.total == pytest.approx(sum(spent.seconds.values()))


def test_what_the_servers_processes_do_is_counted_by_their_models(server: subprocess.Popen[bytes]) -> None:
    def ask() -> float:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b"\n")
        server.stdin.flush()
        assert server.stdout.readline() == b"done\n"
        return 1.0

    clock = CoreClock(2, CALLERS, psutil.Process(server.pid))
    clock.measure(1, lambda: 0.0)
    clock.measure(1, ask)
    spent = clock.typical()
    assert spent.seconds["vfnet_detector"] > BUSY / 2  # starting the interpreter may have been before
    assert spent.seconds[WATCHDOG] < BUSY / 2
    assert set(spent.seconds) == {CALLERS, WATCHDOG, "vfnet_detector", IDLE}


def test_the_table_shows_both_with_what_is_idle_last() -> None:
    bare = CoreTime({BARE: 1.0, IDLE: 0.25})
    served = CoreTime({CALLERS: 0.001, TRITON: 0.002, "vfnet_detector": 1.1, IDLE: 0.2})
    times = CoreTimes(bare, served)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in times.to_markdown().splitlines()]
    assert rows[2:] == [
        [BARE, "1000.0", ""],
        [CALLERS, "", "1.0"],
        [TRITON, "", "2.0"],
        ["vfnet_detector", "", "1100.0"],
        [IDLE, "250.0", "200.0"],
        ["all cores", "1250.0", "1303.0"],
    ]
    assert times.to_json()["served"]["vfnet_detector"] == 1.1
