"""Replaces Python model processes that die or hang.

Triton never does: a model whose process is gone keeps saying that it is ready while every request fails
(tried with 2.51). Loading the model again, as if its configuration had changed, starts new processes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vfnet_serve.activity_records import forget_record, read_record, void_tickets
from vfnet_serve.installation import ServerError, StaleRepositoryError
from vfnet_serve.triton_process import TritonProcess

STUB = "triton_python_backend_stub"
_RETRY_SECONDS = 10.0


@dataclass
class ModelProcess:
    """One process of a Python model."""

    process: psutil.Process
    model: str
    shared_memory: str
    stopped_since: float | None = None

    def is_alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        try:
            return bool(self.process.status() != psutil.STATUS_ZOMBIE and self.process.is_running())
        except psutil.NoSuchProcess:
            return False


@dataclass
class Watchdog:
    """Looks after the model processes of one server."""

    server: TritonProcess
    stall_timeout: float
    """Seconds after which a process that has work and completes none of it is replaced."""
    say: Callable[[str, str], None]
    """Takes a message and its level."""
    processes: dict[int, ModelProcess] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)
    """Processes killed here, and those of a model loaded again: they end soon, and that is no death to act on."""
    expected: Counter[str] = field(default_factory=Counter)
    """Processes that each model should have."""
    not_before: dict[str, float] = field(default_factory=dict)
    """Models that could not be loaded again, and when to try next (monotonic seconds)."""

    def begin(self) -> None:
        """Note how many processes each model has. Call it once, when the server is ready."""
        self._discover()
        self.expected = Counter(process.model for process in self.processes.values())

    def look(self) -> None:
        """Replace dead and hung processes. Call it every half second or so.

        Raises:
            StaleRepositoryError: one is lost, and the repository is another by now.
        """
        hung: set[str] = set()
        for pid, process in list(self.processes.items()):
            if process.is_alive():
                if not self._is_hung(process):
                    continue
                hung.add(process.model)
                process.process.kill()
            del self.processes[pid]
            self.retired.add(pid)  # a killed one takes a moment to end, and is not to be found again meanwhile
            forget_record(self.server.activity_dir, pid)
            Path("/dev/shm", process.shared_memory).unlink(missing_ok=True)
        # Counted, not noticed: a process may die before it was ever seen.
        alive = Counter(process.model for process in self.processes.values())
        if alive != self.expected:  # after a loss, or there are new ones to find, which costs more than a look
            self._discover()
            alive = Counter(process.model for process in self.processes.values())
        for model, count in self.expected.items():
            if alive[model] < count and time.monotonic() >= self.not_before.get(model, 0):
                self._replace(model, f"completed nothing for {self.stall_timeout:g} s" if model in hung else "died")

    def expect_new(self, model: str) -> None:
        """A model is about to be loaded again: its processes go, after what they are doing, when new ones have come."""
        leaving = [pid for pid, process in self.processes.items() if process.model == model]
        for pid in leaving:
            del self.processes[pid]
        self.retired.update(leaving)

    def _discover(self) -> None:
        try:
            children = psutil.Process(self.server.process.pid).children()
        except psutil.NoSuchProcess:
            return
        for child in children:
            if child.pid in self.processes or child.pid in self.retired:
                continue
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if len(command) > 2 and Path(command[0]).name == STUB:
                # stub, .../<model>/<version>/model.py, shared memory region, ...
                self.processes[child.pid] = ModelProcess(child, Path(command[1]).parents[1].name, command[2])

    def _is_hung(self, process: ModelProcess) -> bool:
        now = time.monotonic()
        if process.process.status() != psutil.STATUS_STOPPED:
            process.stopped_since = None
        elif process.stopped_since is None:
            process.stopped_since = now
        # A stopped process takes no work, so that its record alone would not tell.
        if process.stopped_since is not None and now - process.stopped_since > self.stall_timeout:
            return True
        record = read_record(self.server.activity_dir, process.process.pid)
        return record is not None and record.at_work > 0 and now - record.changed > self.stall_timeout

    def _replace(self, model: str, what: str) -> None:
        self.say(f"a process of {model} {what}: replacing it", "WARNING")
        self.server.has_lost_a_process = True
        void_tickets(self.server.activity_dir)  # what it worked on will not come out
        self.expect_new(model)
        started = time.monotonic()
        try:
            self.server.reload(model)
        except StaleRepositoryError:
            raise
        except ServerError as error:
            self.say(f"{error}; trying again in {_RETRY_SECONDS:g} s", "ERROR")
            self.not_before[model] = time.monotonic() + _RETRY_SECONDS
        else:
            self.say(f"{model} serves again after {time.monotonic() - started:.1f} s", "INFO")
