"""Processes found by the mark that a supervisor leaves in their environment, and that what they start inherits.

So they are found whether or not anybody could write down that they were started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vfnet_supervision.process_identity import process_identity
from vfnet_supervision.ring import MARK_VARIABLE, Mark, parse_mark, process_state

_ENTRY = f"{MARK_VARIABLE}=".encode()
_LAST_WAIT = 10.0
"""Seconds for a killed process to be gone; one that waits for a disk takes its time."""


@dataclass(frozen=True)
class MarkedProcess:
    """A process of this account that runs, or ran when it was found."""

    pid: int
    identity: str
    mark: Mark

    def is_alive(self) -> bool:
        """Whether it still runs; what only has to be waited for does not."""
        try:
            return process_identity(self.pid) == self.identity and process_state(self.pid) not in (None, "Z", "X")
        except (OSError, IndexError):
            return False

    def is_stopped(self) -> bool:
        """Whether it was stopped by a signal. (What a debugger holds, `t`, is not.)"""
        return process_state(self.pid) == "T"

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.is_alive():
                os.kill(self.pid, number)

    def ask_to_end(self) -> None:
        """SIGTERM, which one that was stopped has to be woken for."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)


def marked_processes(folder: Path, role: str | None = None) -> list[MarkedProcess]:
    """All that belongs to the supervision of a state folder (or to one role there), in the order of their numbers."""
    found = (_marked(pid, _ENTRY) for pid in _own_processes())
    return [
        process for process in found
        if process is not None and process.mark.folder == str(folder) and role in (None, process.mark.role)
    ]  # fmt: skip


def end(processes: list[MarkedProcess], timeout: float) -> None:
    """Ask them to end, and after so many seconds kill them. They are gone afterwards."""
    for process in processes:
        process.ask_to_end()
    _wait(processes, timeout)
    kill(processes)


def kill(processes: list[MarkedProcess]) -> None:
    """Kill what is left of them, and wait until they are gone."""
    for process in processes:
        process.signal(signal.SIGKILL)
    _wait(processes, _LAST_WAIT)


def _wait(processes: list[MarkedProcess], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _own_processes() -> Iterator[int]:
    me, account = os.getpid(), os.geteuid()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != me:
            with contextlib.suppress(OSError):
                if folder.stat().st_uid == account:
                    yield int(folder.name)


def _marked(pid: int, entry: bytes) -> MarkedProcess | None:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
        if entry not in variables or process_state(pid) in (None, "Z", "X"):
            return None
        text = next(each for each in variables.split(b"\0") if each.startswith(entry))
        mark = parse_mark(os.fsdecode(text[len(entry) :]))
        return None if mark is None else MarkedProcess(pid, process_identity(pid), mark)
    except (OSError, StopIteration, IndexError):
        return None
