"""Replaces Python model processes that die, stop or hang, and says when Triton itself has to be started again.

Triton never does: a model whose process is gone keeps saying that it is ready while every request fails
(tried with 2.51). Loading the model again, as if its configuration had changed, starts new processes. Nothing here
waits: models are loaded beside the watch.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from vfnet_serve.activity_records import void_tickets
from vfnet_serve.gpus import says_gpu_is_unusable, says_there_is_no_room
from vfnet_serve.installation import ServerError, StaleRepositoryError, TritonLostError
from vfnet_serve.model_process import DEAD_LOADER_SECONDS, SILENT_SECONDS, DeadChildren, ModelProcess, Silence
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
    """One model being loaded, by a thread of its own."""

    model: str
    run: Callable[[], None]
    reason: str | None
    """Why, where a process was lost."""
    started: float = field(default_factory=time.monotonic)
    processes: dict[int, ModelProcess] = field(default_factory=dict)
    """The new ones, as far as seen."""
    error: ServerError | None = None
    lost_since: float | None = None
    silence: Silence = field(default_factory=Silence)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"load {self.model}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.run()
        except ServerError as error:
            self.error = error

    def is_done(self) -> bool:
        """Whether it has ended, either way."""
        return not self._thread.is_alive()


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

    def begin(self) -> None:
        """Note how many processes each model has. Call it once, when the server is ready."""
        self._discover()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._threads_at_first = psutil.Process(self.server.process.pid).num_threads()
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

    def load(self, model: str, run: Callable[[], None]) -> None:
        """Have a model loaded again beside the watch; its processes go, after what they do, when new ones have come."""
        for process in self.processes.values():
            if process.model == model:
                process.is_leaving = True
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

    def find_processes(self, models: Sequence[str]) -> list[psutil.Process]:
        """The processes of models, also of such as are still being loaded."""
        now = time.monotonic()
        if now - self._last_discovery > _DISCOVER_SECONDS:
            self._discover()
        return self.processes_of(models)

    def processes_of(self, models: Sequence[str]) -> list[psutil.Process]:
        """Those that were seen."""
        return [process.process for process in self.processes.values() if process.model in models]

    def is_idle(self) -> bool:
        """Whether nothing is being loaded."""
        return not self.loads

    def _missing(self) -> list[str]:
        """Counted, not noticed: a process may die before it was ever seen."""
        alive = Counter(process.model for process in self.processes.values() if not process.is_leaving)
        return [model for model, count in self.expected.items() if alive[model] < count and model not in self.loads]

    def _look_at_triton(self, now: float) -> None:
        triton = self.server.process
        try:
            process = psutil.Process(triton.pid)
            with process.oneshot():
                is_stopped, threads = process.status() == psutil.STATUS_STOPPED, process.num_threads()
        except psutil.NoSuchProcess:
            return
        if self._threads_at_first is not None and threads > self._threads_at_first + self.most_threads_left:
            raise TritonLostError(f"the Triton server has {threads} threads, most of them of models that were replaced")
        if not is_stopped:
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
        if load.is_done():
            del self.loads[load.model]
            self._finish(load, now)
            return
        for pid, process in self.processes.items():
            if process.model == load.model and not process.is_leaving:
                load.processes[pid] = process
        if not [pid for pid in load.processes if pid not in self.processes]:
            load.lost_since = None
        elif load.lost_since is None:
            load.lost_since = now
        lost_for = 0.0 if load.lost_since is None else now - load.lost_since
        if max(lost_for, self._dead.seconds()) > DEAD_LOADER_SECONDS:
            raise TritonLostError(f"a process of {load.model} died while it was loaded, and Triton waits for it")
        if load.silence.seconds(process.process for process in load.processes.values()) > SILENT_SECONDS:
            raise TritonLostError(f"{load.model} was not loaded, and nothing happened for {SILENT_SECONDS:g} s")

    def _finish(self, load: ModelLoad, now: float) -> None:
        if load.error is None:
            self._discover()
            self.failed_loads[load.model] = 0
            if load.reason is not None:
                self.say(f"{load.model} serves again after {now - load.started:.1f} s", "INFO")
            return
        if isinstance(load.error, StaleRepositoryError):
            raise load.error
        if says_gpu_is_unusable(str(load.error)):
            raise TritonLostError(str(load.error))
        self.failed_loads[load.model] += 1
        if self.failed_loads[load.model] >= _MOST_LOADS:
            raise TritonLostError(f"{load.error}, {_MOST_LOADS} times in a row")
        if says_there_is_no_room(str(load.error)):
            self.say(f"{load.error}; letting that one go first, callers are refused meanwhile", "WARNING")
            self.load(load.model, lambda: self.server.reload(load.model, unload_first=True))
            self.loads[load.model].reason = load.reason
            return
        seconds = _RETRY_SECONDS * random.uniform(0.5, 1.5)
        self.say(f"{load.error}; trying again in {seconds:.1f} s", "ERROR")
        self.not_before[load.model] = now + seconds

    def _discover(self) -> None:
        self._last_discovery = time.monotonic()
        children = self.server.children()
        self._dead.look(children, self._gone | self.processes.keys())
        for child in children:
            if child.pid not in self.processes and child.pid not in self._gone:
                found = ModelProcess.of(child)
                if found is not None:
                    self.processes[child.pid] = found

    def _replace(self, model: str) -> None:
        self.say(f"a process of {model} {self.faults.pop(model, 'died')}: replacing it", "WARNING")
        self.server.has_lost_a_process = True
        void_tickets(self.server.activity_dir, model.rpartition("_")[0])  # what it worked on will not come out
        self.load(model, lambda: self.server.reload(model))
        self.loads[model].reason = "lost"
