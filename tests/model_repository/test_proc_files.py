"""What the kernel says of processes and threads, through files that stay open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfnet_runtime.proc_files import ProcFile, SchedstatFile, StatFile, threads_of
from waiting import eventually


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_process_runs_is_stopped_ends_and_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    file = StatFile(sleeper.pid)

    def state() -> tuple[bool, bool] | None:
        read = file.read()
        return None if read is None else (read.is_stopped, read.has_ended)

    assert state() == (False, False)
    sleeper.send_signal(signal.SIGSTOP)
    assert eventually(lambda: state() == (True, False))
    sleeper.send_signal(signal.SIGCONT)
    assert eventually(lambda: state() == (False, False))
    sleeper.kill()
    assert eventually(lambda: state() == (False, True))  # nobody has waited for it
    sleeper.wait()
    assert state() is None
    with pytest.raises(OSError, match=str(sleeper.pid)):
        StatFile(sleeper.pid)


def test_threads_are_counted_and_listed_the_oldest_first() -> None:
    file, before, over = StatFile(os.getpid()), threads_of("self"), threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    read, after = file.read(), threads_of(os.getpid())
    assert read is not None
    assert read.threads == len(after)
    assert after[0].name == str(os.getpid())
    assert {str(thread.native_id) for thread in threads} == {task.name for task in after} - {
        task.name for task in before
    }
    over.set()
    for thread in threads:
        thread.join()


def test_a_thread_that_runs_again_counts_until_it_has_ended() -> None:
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.005):
            pass

    thread = threading.Thread(target=run)
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    file = SchedstatFile(task)
    first = file.times_run()
    assert first is not None
    assert eventually(lambda: (file.times_run() or 0) > first + 3)
    over.set()
    thread.join()
    assert eventually(lambda: file.times_run() is None)
    with pytest.raises(OSError, match="schedstat"):
        SchedstatFile(task)


def test_nothing_stays_open_of_what_nobody_reads_any_more() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    files = [ProcFile("/proc/self/stat") for _ in range(50)]
    assert open_files() >= before + 50
    files.clear()
    assert open_files() < before + 50
