"""Replaces Python model processes that die, stop or hang, and says when Triton itself has to be started again.

Triton never does: a model whose process is gone keeps saying that it is ready while every request fails
(tried with 2.51). Loading the model again, as if its configuration had changed, starts new processes. Nothing here
waits: models are loaded beside the watch.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from vfnet_runtime.proc_files import ProcessState, StatFile
from vfnet_serve.activity_records import void_tickets
from vfnet_serve.background_task import BackgroundTask
from vfnet_serve.gpus import says_gpu_is_unusable, says_there_is_no_room
from vfnet_serve.installation import StaleRepositoryError, TritonLostError
from vfnet_serve.model_process import DEAD_LOADER_SECONDS, SILENT_SECONDS, DeadChildren, LoadingProcesses, ModelProcess
from vfnet_serve.triton_process import TritonProcess

LOOK_SECONDS = 0.1
_OWN_PAUSE_SECONDS = 1.0
"""Whoever looks so late was itself not running, and cannot blame others for it."""
_DISCOVER_SECONDS = 0.3
_RETRY_SECONDS = 1.0
_MOST_LOADS = 3
"""In a row that fail; then Triton is started again."""
_STOPPED_TRITON_SECONDS = 3.0
_DEAF_TRITON_SECONDS = 20.0
_SILENT_TRITON_SECONDS = 5.0
"""It is asked every second, and has three to answer."""


@dataclass
class ModelLoad:
    """One model being loaded again."""

    model: str
    run: Callable[[], None]
    reason: str | None
    """Why, where a process was lost; None: it gets another configuration."""
    task: BackgroundTask[None] = field(init=False)
    loading: LoadingProcesses = field(init=False)

    def __post_init__(self) -> None:
        self.task = BackgroundTask(f"loading {self.model}", self.run)
        self.loading = LoadingProcesses([self.model])


@dataclass
class Watchdog:
    """Looks after the model processes of one server."""

    server: TritonProcess
    stall_timeout: float
    """Seconds after which a process that has work and completes none of it is replaced."""
    say: Callable[[str, str], None]
    """Takes a message and its level."""
    most_threads_left: int = 1000
    """More than at first, then Triton is started again: it (2.51) never frees a model whose process died with a
    request in it, 70 threads each time, and containers mostly allow some thousands."""
    processes: dict[int, ModelProcess] = field(default_factory=dict)
    expected: Counter[str] = field(default_factory=Counter)
    """Processes that each model should have."""
    loads: dict[str, ModelLoad] = field(default_factory=dict)
    failed_loads: Counter[str] = field(default_factory=Counter)
    not_before: dict[str, float] = field(default_factory=dict)
    """Models that could not be loaded again, and when to try next (monotonic seconds)."""
    changes: dict[str, tuple[float, Callable[[], None]]] = field(default_factory=dict)
    """Other configurations that could not be loaded, and when to try next (monotonic seconds)."""
    faults: dict[str, str] = field(default_factory=dict)
    """What was wrong with the process of a model that was killed here."""

    def __post_init__(self) -> None:
        self._gone: set[int] = set()
        """Killed or dead ones; a killed one takes a moment to end, and is not to be found again meanwhile."""
        self._dead = DeadChildren()
        """Those that died before they were seen alive."""
        self._last_look = self._last_discovery = time.monotonic()
        self._triton_stopped_since: float | None = None
        self._threads_at_first: int | None = None
        self._triton: StatFile | None = None
        """None: it has gone already."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            self._triton = StatFile(self.server.process.pid)

    def begin(self) -> None:
        """Note how many processes each model has. Call it once, when the server is ready."""
        self._discover()
        triton = self._state_of_triton()
        self._threads_at_first = None if triton is None else triton.threads
        self.expected = Counter(process.model for process in self.processes.values())
        self._last_look = time.monotonic()

    def look(self) -> None:
        """Kill what hangs, and replace what is gone. Call it every `LOOK_SECONDS`; it does not wait for anything.

        Raises:
            StaleRepositoryError: one is lost, and the repository is another by now.
            TritonLostError: Triton has to be started again.
        """
        now = time.monotonic()
        if now - self._last_look > _OWN_PAUSE_SECONDS:
            for process in self.processes.values():
                process.forget_time()
            self._triton_stopped_since = None
            self.server.has_answered()
        self._last_look = now
        self._look_at_triton(now)
        self._look_at_processes()
        if self.loads or self._missing():
            if now - self._last_discovery > _DISCOVER_SECONDS or not self.loads:
                self._discover()
            for load in list(self.loads.values()):
                self._look_at_load(load, now)
            for model in self._missing():
                if now >= self.not_before.get(model, 0):
                    self._replace(model)
        for model, (due, run) in list(self.changes.items()):
            if now >= due and model not in self.loads:
                self.load(model, run)

    def load(self, model: str, run: Callable[[], None]) -> None:
        """Have a model loaded again beside the watch; its processes go, after what they do, when new ones have come."""
        for process in self.processes.values():
            if process.model == model:
                process.is_leaving = True
        self.changes.pop(model, None)
        self.loads[model] = ModelLoad(model, run, None)

    def what_is_lost(self) -> str | None:
        """Of which models a process is missing, in a sentence; None: of none, and Triton says that it lives."""
        lost = {model for model, load in self.loads.items() if load.reason is not None}.union(self._missing())
        if lost:
            return f"a process of {', '.join(sorted(lost))} is being replaced"
        if self.server.seconds_without_answer() > _SILENT_TRITON_SECONDS:
            return "Triton does not answer"
        return None

    def expect(self, processes: Mapping[str, int]) -> None:
        """Models were loaded: from now on, so many processes of each are replaced when they are lost."""
        self._discover()
        self.expected.update(processes)

    def forget(self, models: Sequence[str]) -> None:
        """Models are unloaded, or are to be: their processes may go."""
        for model in models:
            self.expected.pop(model, None)
            self.loads.pop(model, None)
            self.not_before.pop(model, None)
            self.changes.pop(model, None)

    def seconds_lost(self, loading: LoadingProcesses) -> float:
        """For how long a process has been dead of models that are loaded for the first time; 0: none is."""
        self._discover_sometimes()
        loading.look(self.processes)
        return max(loading.seconds_lost(), 0.0 if self.loads else self._dead.seconds())

    def give_up(self) -> None:
        """Such a load is given up: Triton keeps its dead process for good."""
        self._gone |= self._dead.forget()

    def find_processes(self, models: Sequence[str]) -> list[psutil.Process]:
        """The processes of models, also of such as are still being loaded."""
        self._discover_sometimes()
        return self.processes_of(models)

    def processes_of(self, models: Sequence[str]) -> list[psutil.Process]:
        """Those that were seen."""
        return [process.process for process in self.processes.values() if process.model in models]

    def is_idle(self) -> bool:
        """Whether nothing is being loaded, or is to be."""
        return not self.loads and not self.changes

    def _missing(self) -> list[str]:
        """Counted, not noticed: a process may die before it was ever seen."""
        alive = Counter(process.model for process in self.processes.values() if not process.is_leaving)
        return [model for model, count in self.expected.items() if alive[model] < count and model not in self.loads]

    def _state_of_triton(self) -> ProcessState | None:
        """None: it has gone."""
        return None if self._triton is None else self._triton.read()

    def _look_at_triton(self, now: float) -> None:
        triton = self._state_of_triton()
        if triton is None:
            return
        threads = triton.threads
        if self._threads_at_first is not None and threads > self._threads_at_first + self.most_threads_left:
            raise TritonLostError(f"the Triton server has {threads} threads, most of them of models that were replaced")
        if not triton.is_stopped:
            self._triton_stopped_since = None
        elif self._triton_stopped_since is None:
            self._triton_stopped_since = now
        elif now - self._triton_stopped_since > _STOPPED_TRITON_SECONDS:
            raise TritonLostError(f"the Triton server was stopped for {_STOPPED_TRITON_SECONDS:g} s")
        if self.server.seconds_without_answer() > _DEAF_TRITON_SECONDS:
            raise TritonLostError(f"the Triton server answered nothing for {_DEAF_TRITON_SECONDS:g} s")

    def _look_at_processes(self) -> None:
        for pid, process in list(self.processes.items()):
            if process.is_alive():
                fault = process.fault(self.server.activity_dir, self.stall_timeout)
                if fault is None:
                    continue
                self.faults[process.model] = fault
                process.kill()
            del self.processes[pid]
            self._gone.add(pid)
            process.clean_up(self.server.activity_dir)

    def _look_at_load(self, load: ModelLoad, now: float) -> None:
        if load.task.is_done():
            del self.loads[load.model]
            self._finish(load, now)
            return
        load.loading.look(self.processes)
        if max(load.loading.seconds_lost(), self._dead.seconds()) > DEAD_LOADER_SECONDS:
            raise TritonLostError(f"a process of {load.model} died while it was loaded, and Triton waits for it")
        if load.loading.seconds_silent() > SILENT_SECONDS:
            raise TritonLostError(f"{load.model} was not loaded, and nothing happened for {SILENT_SECONDS:g} s")

    def _finish(self, load: ModelLoad, now: float) -> None:
        error = load.task.error
        if error is None:
            self._discover()
            self.failed_loads[load.model] = 0
            if load.reason is not None:
                self.say(f"{load.model} serves again after {load.task.seconds():.1f} s", "INFO")
            return
        if isinstance(error, StaleRepositoryError):
            raise error
        if says_gpu_is_unusable(str(error)):
            raise TritonLostError(str(error))
        for process in self.processes.values():
            if process.model == load.model:
                process.is_leaving = False  # nothing has come in its place
        self.failed_loads[load.model] += 1
        if load.reason is None:
            self._try_configuration_again(load, now)
            return
        if self.failed_loads[load.model] >= _MOST_LOADS:
            raise TritonLostError(f"{error}, {_MOST_LOADS} times in a row")
        if says_there_is_no_room(str(error)):
            self.say(f"{error}; letting that one go first, callers are refused meanwhile", "WARNING")
            self.load(load.model, lambda: self.server.reload(load.model, unload_first=True))
            self.loads[load.model].reason = load.reason
            return
        seconds = _RETRY_SECONDS * random.uniform(0.5, 1.5)
        self.say(f"{error}; trying again in {seconds:.1f} s", "ERROR")
        self.not_before[load.model] = now + seconds

    def _try_configuration_again(self, load: ModelLoad, now: float) -> None:
        """It serves with the one it had; a disk that is full now is not a reason to start Triton again."""
        if self.failed_loads[load.model] >= _MOST_LOADS:
            self.failed_loads[load.model] = 0
            self.say(f"{load.task.error}: {load.model} serves on with the settings that it had", "ERROR")
            return
        self.say(f"{load.task.error}; trying again in {_RETRY_SECONDS:g} s", "WARNING")
        self.changes[load.model] = (now + _RETRY_SECONDS, load.run)

    def _discover(self) -> None:
        self._last_discovery = time.monotonic()
        children = self.server.children()
        self._gone &= {child.pid for child in children}  # of the others, other processes may get the numbers
        self._dead.look(children, self._gone | self.processes.keys())
        for child in children:
            if child.pid not in self.processes and child.pid not in self._gone:
                found = ModelProcess.of(child)
                if found is not None:
                    self.processes[child.pid] = found

    def _discover_sometimes(self) -> None:
        if time.monotonic() - self._last_discovery > _DISCOVER_SECONDS:
            self._discover()

    def _replace(self, model: str) -> None:
        self.say(f"a process of {model} {self.faults.pop(model, 'died')}: replacing it", "WARNING")
        self.server.has_lost_a_process = True
        void_tickets(self.server.activity_dir, model.rpartition("_")[0])  # what it worked on will not come out
        self.load(model, lambda: self.server.reload(model))
        self.loads[model].reason = "lost"
