"""One process of a Python model, seen from outside: whether it lives, runs, and is still waited for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vfnet_runtime.proc_files import ProcessState, SchedstatFile, StatFile, stat_fields, threads_of
from vfnet_runtime.triton_models.triton_queue import TritonQueue
from vfnet_serve.activity_records import forget_record, read_record

STUB = "triton_python_backend_stub"
_STOPPED_SECONDS = 0.35
"""Triton gives up on a process that has not run for 0.7 to 1 s; a stopped one must not wake after that."""
_STILL_SECONDS = 1.5
"""A process that runs has a thread of the backend's that wakes every 0.3 s, whatever its Python does."""
_RUNNABLE = "R"
DEAD_LOADER_SECONDS = 4.0
"""In which Triton ends the load of a process that died while loading, if it can: not where that died very early."""
SILENT_SECONDS = 120.0
"""A load in which no process computes for so long will not end."""
_SILENT_CPU_SECONDS = 0.5


@dataclass
class ModelProcess:
    """One process of a Python model."""

    process: psutil.Process
    model: str
    shared_memory: str
    is_leaving: bool = False
    """It finishes what it has, for another takes its place: its end is no loss."""
    _queue: TritonQueue | None = None
    _stopped_since: float | None = None
    _still_since: float | None = None
    _stat: StatFile | None = field(default=None, init=False)
    """None: it had gone before it was looked at."""
    _oldest_but_one: SchedstatFile | None = field(default=None, init=False)
    _times_run: int | None = None
    _all_times_run: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = StatFile(self.process.pid)
            if self.process.is_running():  # else the file may be of another, which got its number meanwhile
                self._stat = stat

    @classmethod
    def of(cls, process: psutil.Process) -> ModelProcess | None:
        """None: it is no model's process, or has gone."""
        try:
            command = process.cmdline()
        except psutil.Error:
            return None
        if len(command) < 3 or Path(command[0]).name != STUB:
            return None
        # stub, .../<model>/<version>/model.py, shared memory region, two sizes, server, backend, handle, name, ...
        model = Path(command[1]).parents[1].name
        if command[8:9] == [model]:
            return None  # one that is only asked for its configuration, and ends then
        found = cls(process, model, command[2])
        with contextlib.suppress(OSError, ValueError):
            found._queue = TritonQueue(command)
        return found

    def is_alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        state = self._state()
        return state is not None and not state.has_ended

    def forget_time(self) -> None:
        """Whoever looks at it was not looking for a while: what was seen before says nothing."""
        self._stopped_since = self._still_since = None

    def fault(self, activity_dir: Path, stall_timeout: float) -> str | None:
        """What is wrong with it, so that it must be killed; None: nothing. Ask several times a second."""
        now = time.monotonic()
        state = self._state()
        if state is None:
            return None  # the next look finds that it has gone
        if not state.is_stopped:
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = now
        elif now - self._stopped_since > _STOPPED_SECONDS:
            return "was stopped"
        if self._does_not_run(now):
            return f"did not run for {_STILL_SECONDS:g} s"
        record = read_record(activity_dir, self.process.pid)
        if record is None or record.at_work <= 0:
            return None
        if now - record.changed > stall_timeout:
            return f"completed nothing for {stall_timeout:g} s"
        # Read between two looks at the record that are equal: it was at work all the while, see triton_queue.py.
        if self._queue is not None and self._queue.waiting() and read_record(activity_dir, self.process.pid) == record:
            return "did not answer in time"
        return None

    def kill(self) -> None:
        """At once: it does not run any more, even to say so."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()

    def clean_up(self, activity_dir: Path) -> None:
        """It has gone: remove what it leaves."""
        forget_record(activity_dir, self.process.pid)
        Path("/dev/shm", self.shared_memory).unlink(missing_ok=True)
        if self._queue is not None:
            self._queue.close()
        self._stat = self._oldest_but_one = None  # closed now, whoever else still knows this object

    def _state(self) -> ProcessState | None:
        """None: it has gone."""
        return None if self._stat is None else self._stat.read()

    def _does_not_run(self, now: float) -> bool:
        """Mostly a look at one thread suffices: the backend's own, which is the oldest but one."""
        times = self._times_run_of_one()
        if self._still_since is None or times is None or times != self._times_run:
            self._still_since, self._times_run, self._all_times_run = now, times, {}
            return False
        if now - self._still_since < _STILL_SECONDS:
            return False
        before, self._all_times_run = self._all_times_run, _times_run(self.process.pid)
        return bool(before) and before == self._all_times_run and not _some_could_run(self.process.pid)

    def _times_run_of_one(self) -> int | None:
        if self._oldest_but_one is None:
            with contextlib.suppress(OSError, ValueError, IndexError):
                self._oldest_but_one = SchedstatFile(threads_of(self.process.pid)[1])
        times = None if self._oldest_but_one is None else self._oldest_but_one.times_run()
        if times is None:  # that thread has ended: the next look finds another
            self._oldest_but_one = None
        return times


class DeadChildren:
    """Children of Triton that are dead, and that it does not take leave of: it waits for them, or has lost them."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def look(self, children: Iterable[psutil.Process], known: Container[int] = ()) -> None:
        """Note those of `children` that are dead; those `known` are somebody else's matter."""
        now, dead = time.monotonic(), set[int]()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid not in known and child.status() == psutil.STATUS_ZOMBIE:
                    dead.add(child.pid)
        self._since = {pid: self._since.get(pid, now) for pid in dead}

    def forget(self) -> set[int]:
        """They are somebody else's matter from now on; their process numbers."""
        forgotten = set(self._since)
        self._since = {}
        return forgotten

    def seconds(self) -> float:
        """For how long the first of them has been dead."""
        return time.monotonic() - min(self._since.values()) if self._since else 0.0


def _times_run(pid: int) -> dict[str, int | None]:
    """How often each thread has run, by thread."""
    with contextlib.suppress(OSError, ValueError):
        return {task.name: SchedstatFile(task).times_run() for task in threads_of(pid)}
    return {}


def _some_could_run(pid: int) -> bool:
    """Whether a thread only waits for a processor."""
    with contextlib.suppress(OSError, IndexError):
        return any(stat_fields((task / "stat").read_text(errors="replace"))[0] == _RUNNABLE for task in threads_of(pid))
    return True


class Silence:
    """For how long processes have computed nothing."""

    def __init__(self) -> None:
        self._since, self._computed = time.monotonic(), 0.0

    def seconds(self, processes: Iterable[psutil.Process]) -> float:
        """Seconds in which all of them together used next to no processor time."""
        computed = 0.0
        for process in processes:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            computed += times.user + times.system
        if abs(computed - self._computed) > _SILENT_CPU_SECONDS:
            self._since, self._computed = time.monotonic(), computed
        return time.monotonic() - self._since


class LoadingProcesses:
    """The processes of models that are being loaded, as far as they were seen.

    Triton (2.51) waits forever for one that was killed early.
    """

    def __init__(self, models: Container[str]) -> None:
        self._models = models
        self._seen: dict[int, ModelProcess] = {}
        self._lost_since: float | None = None
        self._silence = Silence()

    def look(self, processes: Mapping[int, ModelProcess]) -> None:
        """Note which are there, of all that live."""
        self._seen |= {
            pid: each for pid, each in processes.items() if each.model in self._models and not each.is_leaving
        }
        if self._seen.keys() <= processes.keys():
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = time.monotonic()

    def seconds_lost(self) -> float:
        """Since one was lost; 0: none was."""
        return 0.0 if self._lost_since is None else time.monotonic() - self._lost_since

    def seconds_silent(self) -> float:
        """In which they computed nothing."""
        return self._silence.seconds(process.process for process in self._seen.values())
