"""Files of Linux's /proc that are read many times a second: they stay open, see proc(5).

An open one is of the same process or thread for good, also when another gets its number: reading it fails then.
And opening costs several times what reading does.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_MOST_BYTES = 4096
"""Of a file read here; they have one line."""


class ProcFile:
    """One line of the kernel's.

    Raises:
        OSError: there is no such process or thread.
    """

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self) -> str:
        """What it says now.

        Raises:
            OSError: the process or thread has gone.
        """
        return os.pread(self._descriptor, _MOST_BYTES, 0).decode(errors="replace")


def stat_fields(text: str) -> list[str]:
    """Those of a `stat` line from the third, the state, on: the second is a name, which may hold anything."""
    return text.rpartition(")")[2].split()


class ProcessState(NamedTuple):
    """What `ps` shows of a process."""

    state: str
    """One letter."""
    threads: int

    @property
    def is_stopped(self) -> bool:
        """By SIGSTOP."""
        return self.state == "T"

    @property
    def has_ended(self) -> bool:
        """It is dead, and its parent may not have noticed yet: a zombie."""
        return self.state in "ZX"


class StatFile:
    """`/proc/PID/stat` of one process.

    Raises:
        OSError: there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self._file = ProcFile(f"/proc/{pid}/stat")

    def read(self) -> ProcessState | None:
        """None: it has gone."""
        try:
            text = self._file.read()
        except OSError:
            return None
        fields = stat_fields(text)
        return ProcessState(fields[0], int(fields[20 - 3]))  # `num_threads`


class SchedstatFile:
    """`/proc/PID/task/TID/schedstat` of one thread.

    Raises:
        OSError: there is no such thread, or the kernel does not count.
    """

    def __init__(self, task: Path) -> None:
        """`task`: /proc/PID/task/TID."""
        self._file = ProcFile(task / "schedstat")

    def times_run(self) -> int | None:
        """How often the thread has been given a processor; None: it has gone, or the kernel does not say.

        Linux that does not count says 0, which a thread that anybody has seen cannot have.
        """
        try:
            return int(self._file.read().split()[2]) or None
        except (OSError, ValueError, IndexError):
            return None


def threads_of(pid: int | str) -> list[Path]:
    """`/proc/PID/task/TID` of each thread of a process, the oldest first.

    Args:
        pid: a number, or `self`.

    Raises:
        OSError: there is no such process.
    """
    folder = Path(f"/proc/{pid}").resolve(strict=True)
    return oldest_first(int(folder.name), (folder / "task").iterdir())


def oldest_first(process: int, tasks: Iterable[Path]) -> list[Path]:
    """Threads by age: the first has the process's number, and after the highest one they begin anew below it."""
    return sorted(tasks, key=lambda task: ((number := int(task.name)) < process, number))
