"""A Triton that keeps the threads of models that were replaced is started again before it may have no more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from vfnet_serve.installation import TritonLostError
from vfnet_serve.watchdog import Watchdog

_GROWS_WHEN_ASKED = """
import sys, threading
for line in sys.stdin:
    for _ in range(int(line)):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("grown", flush=True)
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _GROWS_WHEN_ASKED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        grow(started, 0)
        yield started
        started.kill()


def grow(process: subprocess.Popen[str], threads: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{threads}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "grown\n"


def watchdog_of(process: subprocess.Popen[str], most_threads_left: int) -> Watchdog:
    server: Any = SimpleNamespace(process=process, children=lambda: [], seconds_without_answer=lambda: 0.0)
    watchdog = Watchdog(server, 60.0, lambda _message, _level: None, most_threads_left)
    watchdog.begin()
    return watchdog


def test_a_few_threads_more_are_nothing(process: subprocess.Popen[str]) -> None:
    watchdog = watchdog_of(process, 20)
    grow(process, 20)
    watchdog.look()


def test_many_threads_more_are_a_reason_to_start_again(process: subprocess.Popen[str]) -> None:
    watchdog = watchdog_of(process, 20)
    grow(process, 21)
    with pytest.raises(TritonLostError, match=r"has \d+ threads, most of them of models that were replaced"):
        watchdog.look()
