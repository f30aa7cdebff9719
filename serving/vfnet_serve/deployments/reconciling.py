"""Loads, turns and unloads until a server serves what is wanted of it.

One step at a time, on a thread of its own, so that the watch over what serves goes on. A deployment that cannot be
loaded is left out, and what served goes on serving. What has been turned away from keeps a moment before it is
unloaded: a request that Triton has just received may not have reached the steps yet.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vfnet_client.model_names import deployment_name
from vfnet_serve.background_task import BackgroundTask
from vfnet_serve.deployments.served_models import ModelReader, ServedDeployment, ServedModels
from vfnet_serve.deployments.served_state import ModelState, ServedState, write_served_manifest
from vfnet_serve.deployments.wanted import DeploymentsError, DeploymentsFolder, Wanted
from vfnet_serve.installation import ServerError
from vfnet_serve.model_process import DEAD_LOADER_SECONDS, LoadingProcesses
from vfnet_serve.server_log import say
from vfnet_serve.triton_process import TritonProcess
from vfnet_serve.watchdog import Watchdog

_GRACE_SECONDS = 1.0
_LEAVING_SECONDS = 120.0
"""For what a deployment that leaves still has to do."""
_LOADING_SECONDS = 900.0
"""After which a load that nobody wants any more is taken to hang."""
_FAILED_LOAD_SECONDS = 30.0
"""In which a load ends of which Triton has said that a model failed: what was loaded before it is unloaded first."""
_RETRY_SECONDS = 2.0
_FIRST_TO_GO = 900
"""Of -1000 to 1000, for the kernel where memory is short: a deployment on trial, before anything that serves."""


@dataclass
class _Step:
    """Something that is being done."""

    kind: str
    server: TritonProcess
    deployment: ServedDeployment
    task: BackgroundTask[None]
    given_up: threading.Event = field(default_factory=threading.Event)
    """Nobody waits for it any more: if it ever goes on, it is to undo what it did."""
    loading: LoadingProcesses = field(init=False)

    def __post_init__(self) -> None:
        self.loading = LoadingProcesses(self.deployment.names.steps)


class Reconciler:
    """Of one `vfnet serve`, over all its Triton servers.

    Args:
        served: what is served, which this changes.
        state_file: where to say so; None: nowhere.
        prepare: is given a deployment before it is loaded, to adjust its settings.
        loaded: is given it when it has been loaded; `left` when it goes.
    """

    def __init__(
        self,
        reader: ModelReader,
        served: ServedModels,
        state_file: Path | None,
        *,
        prepare: Callable[[ServedDeployment], None] = lambda _: None,
        loaded: Callable[[ServedDeployment], None] = lambda _: None,
        left: Callable[[ServedDeployment], None] = lambda _: None,
    ) -> None:
        self._reader, self._served, self._state_file = reader, served, state_file
        self._prepare, self._loaded, self._left = prepare, loaded, left
        self._folder = DeploymentsFolder(served.repository)
        self._bases = {model: self._folder.base(model) for model in served.models}
        self._failed = dict[tuple[str, int], str]()
        self._step: _Step | None = None
        self._turned: dict[str, float] = {}
        self._not_before = 0.0
        self._said: str | None = None
        self._written: ServedState | None = None
        self._wanted, self._seen = Wanted(), (0, 0)

    def look(self, server: TritonProcess, watchdog: Watchdog) -> None:
        """Begin or end a step, if there is one. It does not wait; call it again and again."""
        wanted = self._read()
        if self._step is not None:
            if not self._step.task.is_done():
                if self._is_under_way(self._step, server, wanted, watchdog):
                    return
            else:
                self._finish(self._step, server, watchdog)
            self._step = None
        if wanted is None:
            return
        self._failed = {key: why for key, why in self._failed.items() if key[1] in wanted.loaded(key[0])}
        if time.monotonic() >= self._not_before:
            steps = (self._next(model, wanted, server, watchdog) for model in self._served.models)
            self._step = next((step for step in steps if step is not None), None)
        self._write(wanted)

    def is_idle(self) -> bool:
        """Whether nothing is being done."""
        return self._step is None

    def _next(self, model: str, wanted: Wanted, server: TritonProcess, watchdog: Watchdog) -> _Step | None:
        loaded, live, numbers = self._served.loaded(model), wanted.live(model), wanted.loaded(model)
        for number in numbers:
            if number not in loaded and (model, number) not in self._failed:
                return self._load(model, number, server)
        if live != self._served.live[model] and live in loaded:
            deployment = self._served.deployments[deployment_name(model, live)]
            turning = BackgroundTask(f"turning {model}", lambda: server.turn(deployment))
            return _Step("turn", server, deployment, turning)
        if time.monotonic() - self._turned.get(model, -_GRACE_SECONDS) < _GRACE_SECONDS:
            return None
        for number in loaded:
            if number not in numbers and number != self._served.live[model]:
                return self._unload(model, number, server, watchdog)
        return None

    def _load(self, model: str, number: int, server: TritonProcess) -> _Step | None:
        name = deployment_name(model, number)
        try:
            if number == 1 and self._folder.base(model) != self._bases[model]:
                raise ServerError(f"{self._served.repository} was built anew since: start the server again to serve it")
            if number == 1:
                deployment = self._reader.read(self._served.repository).deployments[model]
            else:
                deployment = self._reader.read_deployment(self._folder.build_folder(model, number), model, number)
            self._prepare(deployment)
        except (ServerError, KeyError) as error:
            self._fail(model, number, str(error))
            return None
        say(f"loading {name} beside what serves")
        given_up = threading.Event()
        loading = BackgroundTask(f"loading {name}", lambda: server.load_new(deployment, given_up))
        return _Step("load", server, deployment, loading, given_up)

    def _unload(self, model: str, number: int, server: TritonProcess, watchdog: Watchdog) -> _Step:
        with self._served.lock:  # at once: a Triton that starts again does without it
            deployment = self._served.deployments.pop(deployment_name(model, number))
        self._left(deployment)
        watchdog.forget(deployment.names.steps)

        def unload() -> None:
            if not server.unload_all(deployment, _LEAVING_SECONDS):
                raise ServerError(f"{deployment.names.ensemble} was not gone after {_LEAVING_SECONDS:g} s")

        return _Step("unload", server, deployment, BackgroundTask(f"unloading {deployment.names.ensemble}", unload))

    def _finish(self, step: _Step, server: TritonProcess, watchdog: Watchdog) -> None:
        deployment, error = step.deployment, step.task.error
        model, number, name = deployment.model, deployment.number, deployment.names.ensemble
        if step.server is not server:
            return  # that one has ended: what is missing is begun anew
        if step.kind == "load" and error is not None:
            self._fail(model, number, str(error))
        elif step.kind == "load":
            with self._served.lock:
                self._served.deployments[name] = deployment
            watchdog.expect(deployment.processes())
            self._loaded(deployment)
            say(f"{name} is loaded after {step.task.seconds():.1f} s")
        elif step.kind == "turn" and error is not None:
            self._not_before = time.monotonic() + _RETRY_SECONDS
            self._say_once(f"{model} could not be turned to {name}: {error}")
        elif step.kind == "turn":
            self._served.live[model] = number
            self._turned[model] = time.monotonic()
            for process in watchdog.processes_of(deployment.names.steps):
                _set_badness(process, 0)
            say(f"{model} is answered by {name if number > 1 else 'what the repository holds'} from now on")
        elif error is not None:
            say(str(error), "WARNING")
            server.has_lost_a_process = True
        else:
            say(f"{name if number > 1 else f'the first {model}'} has finished and is unloaded")

    def _is_under_way(self, step: _Step, server: TritonProcess, wanted: Wanted | None, watchdog: Watchdog) -> bool:
        """Whether it will end by itself; a load that hangs is given up, and what was loaded of it goes."""
        if step.kind != "load" or step.server is not server:
            return True
        model, number = step.deployment.model, step.deployment.number
        is_wanted = wanted is None or number in wanted.loaded(model)
        for process in watchdog.find_processes(step.deployment.names.steps):
            if is_wanted:
                _set_badness(process, _FIRST_TO_GO)
            elif step.task.seconds() > _LOADING_SECONDS:
                _kill(process)
        failures = dict(step.server.log.load_failures)
        failed = [name for name in step.deployment.names.steps if name in failures]
        if watchdog.seconds_lost(step.loading) < (_FAILED_LOAD_SECONDS if failed else DEAD_LOADER_SECONDS):
            return True
        step.given_up.set()
        watchdog.give_up()
        died = "one of its processes died while it was loaded, and Triton waits for it"
        self._fail(model, number, "; ".join(f"{name} failed to load: {failures[name]}" for name in failed) or died)
        of_model = {name: watchdog.processes_of([name]) for name in step.deployment.names.steps}

        def give_up() -> None:
            for name in server.give_up(step.deployment):
                for process in of_model.get(name, []):  # of another instance, which nobody waits for
                    _kill(process)

        BackgroundTask(f"giving {step.deployment.names.ensemble} up", give_up)
        return False

    def _fail(self, model: str, number: int, reason: str) -> None:
        self._failed[model, number] = reason
        say(f"{deployment_name(model, number)} is not served: {reason}", "ERROR")

    def _read(self) -> Wanted | None:
        """None: it cannot be understood; then all stays as it is."""
        try:
            seen = self._folder.seen()
            if seen != self._seen:
                self._wanted, self._seen = self._folder.read(self._bases), seen
            return self._wanted
        except DeploymentsError as error:
            self._say_once(str(error))
            return None

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(text, "ERROR")

    def _write(self, wanted: Wanted) -> None:
        if self._state_file is None:
            return
        step = self._step
        models = {
            model: ModelState(
                self._served.live[model],
                tuple(self._served.loaded(model)),
                () if step is None or step.kind != "unload" or step.deployment.model != model
                else (step.deployment.number,),
                {number: why for (of, number), why in self._failed.items() if of == model},
            )
            for model in self._served.models
        }  # fmt: skip
        state = ServedState(wanted.revision, models, self._bases)
        if state != self._written:
            try:
                state.write(self._state_file)
                for model in self._served.models:
                    build = self._served.live_deployment(model).build.repository
                    write_served_manifest(self._state_file.parent, model, build)
                self._written = state
            except OSError as error:
                self._say_once(f"{error.filename or self._state_file} could not be written ({error.strerror})")


def _kill(process: psutil.Process) -> None:
    """Unless it has gone by itself."""
    with contextlib.suppress(psutil.Error):
        process.kill()


def _set_badness(process: psutil.Process, value: int) -> None:
    """How soon the kernel ends a process where memory is short."""
    try:
        path = Path(f"/proc/{process.pid}/oom_score_adj")
        if int(path.read_text()) != value:
            path.write_text(f"{value}")
    except (OSError, ValueError):
        pass  # it has gone, or this account may not: then the kernel chooses
