"""`vfnet serve` as a function: run a server in the foreground until told to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import seconds_or_none
from vfnet_client.commands.settings_options import File, Folder, Port
from vfnet_client.json_log import LOG_FORMATS, write_as
from vfnet_serve.adapted_repository import ServedBuild
from vfnet_serve.control_plane import ControlPlane
from vfnet_serve.deployments.reconciling import Reconciler
from vfnet_serve.deployments.served_models import ModelReader, ServedDeployment, ServedModels, describe_settings
from vfnet_serve.deployments.served_state import STATE
from vfnet_serve.deployments.wanted import DeploymentsError, DeploymentsFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.gpus import VisibleGpus
from vfnet_serve.health import ServerHealth, answering
from vfnet_serve.installation import ServerError, StaleRepositoryError, TritonLostError, find_triton
from vfnet_serve.machine import this_machine
from vfnet_serve.readiness import wait_until_ready
from vfnet_serve.restart_policy import TritonRestartPolicy
from vfnet_serve.scratch_folder import remove_abandoned
from vfnet_serve.server_log import ServerLog, say
from vfnet_serve.serving_settings import GivenSettings
from vfnet_serve.trace_export import TraceExport
from vfnet_serve.triton_process import TritonProcess
from vfnet_serve.wait_limits import WaitLimits
from vfnet_serve.watchdog import LOOK_SECONDS, Watchdog
from vfnet_supervision.process_identity import process_identity

_BUILD_SECONDS = 1.0


@dataclass(frozen=True)
class ServeOptions:
    """What a person chooses."""

    repository: Folder
    """Written by vfnet build."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    model_config_name: Annotated[str, "NAME"] | None = None
    """Another configuration of vfnet_detector."""
    gpus: str | None = None
    """CUDA_VISIBLE_DEVICES of the server: each GPU it sees gets an instance of a detector that runs on GPUs."""
    settings: GivenSettings = field(default_factory=GivenSettings)
    stall_timeout: Annotated[float, "SECONDS"] = 60.0
    """Replace a model process that has work and completes nothing for so long."""
    exit_timeout: Annotated[int, "SECONDS"] = 30
    """Let requests in flight finish for so long when stopping."""
    triton: Folder | None = None
    """Where the Triton server is, if not in this environment."""
    lame_duck: Annotated[float, seconds_or_none, "SECONDS"] = 0.0
    """Serve on for so long after SIGTERM, not ready any more at --health-port, so that load balancers learn of it."""
    health_port: Port = 0
    """Answer /livez, /readyz and /startupz by what the watchdog knows, on a port of its own; 0: nowhere."""
    health_host: str = "127.0.0.1"
    """Address of --health-port; 0.0.0.0 for a container's probes."""
    state_file: File | None = None
    """While ready, holds the process number and ports as JSON."""
    expose_triton: bool = False
    """Let --host be an address that other machines reach; who reaches Triton's ports can end it: strangers belong in
    front of vfnet gateway."""
    max_restarts: Annotated[int, "N"] = 5
    """Starts of Triton in a row that may fail; one that served is always started again."""
    until_rebuilt: bool = False
    """Stop, after what is in flight, when the repository is built anew: for who starts it again by itself."""
    otlp: Annotated[str, "URL"] | None = None
    """Export spans of requests whose caller traces them to this OpenTelemetry collector, as OTLP over HTTP.

    As OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_SDK_DISABLED=true turns both off."""
    log_format: Annotated[str, LOG_FORMATS] = "text"
    """Of what this and Triton say: lines for people, or one JSON object a line, as the gateway writes."""
    verbose: bool = False
    """Print all that Triton logs."""


def serve(options: ServeOptions) -> None:
    """Serve until SIGTERM, SIGINT or a terminal that closes; requests in flight are finished first.

    A Triton that dies is started again on the same ports. Must run on the main thread.

    Raises:
        ServerError: it cannot start, `max_restarts` times in a row, or it lost a process whose files are no longer
            there.
    """
    write_as(options.log_format)
    stop, health = threading.Event(), ServerHealth()
    with _stop_on_signals(stop, health, options.lame_duck), answering(health, options.health_host, options.health_port):
        installation = find_triton(options.triton)
        _check_exposure(options)
        traces = TraceExport.chosen(options.otlp)
        options.endpoints.check_free()
        if remove_abandoned():
            say("removed what a server that was killed had left in the temporary folder and /dev/shm")
        machine = this_machine(visible=options.gpus)
        reader = ModelReader(machine, options.settings, options.model_config_name)
        models = _read_models(reader, options.repository.absolute())
        for text in describe_settings(models, machine, options.settings):
            say(text)
        say(f"starting Triton on {options.repository}")
        control = ControlPlane()

        gpus = VisibleGpus(options.gpus, machine.gpus)

        def new_server() -> TritonProcess:
            return TritonProcess(
                installation,
                models,
                options.endpoints,
                ServerLog(options.verbose),
                control=control,
                gpus=gpus.visible,
                exit_timeout=options.exit_timeout,
                traces=traces,
            )

        _Service(options, new_server, reader, models, control, stop, health, gpus).run()
        say("stopped")


def _read_models(reader: ModelReader, repository: Path) -> ServedModels:
    """What the repository holds, and what was deployed in its stead.

    Raises:
        ServerError: it holds nothing that can be served.
    """
    models = reader.read(repository)
    try:
        for problem in reader.apply_wanted(models, DeploymentsFolder(repository).read()):
            say(f"{problem}: served is what the repository holds", "ERROR")
    except DeploymentsError as error:
        say(str(error), "ERROR")
    for model in models.models:
        deployment = models.live_deployment(model)
        if deployment.number > 1:
            say(f"{model} is {deployment.names.ensemble}, which was deployed: {deployment.build.repository}")
    return models


def _check_exposure(options: ServeOptions) -> None:
    """
    Raises:
        ServerError: others would reach Triton, and nobody said that they may.
    """
    host = options.endpoints.host
    if options.endpoints.is_loopback:
        return
    if not options.expose_triton:
        raise ServerError(
            f"--host {host} would let other machines reach Triton, which one malformed request ends: serve strangers "
            "with vfnet gateway and leave --host, or add --expose-triton on a network that you trust"
        )
    say(
        f"--expose-triton: whoever reaches {host} can ask without a key, read statistics and metrics, and end Triton "
        "with a malformed request (it is started again); loading models, shared memory, tracing and logging are closed",
        "WARNING",
    )


class _Service:
    """One Triton server after another, until told to stop."""

    def __init__(
        self,
        options: ServeOptions,
        new_server: Callable[[], TritonProcess],
        reader: ModelReader,
        models: ServedModels,
        control: ControlPlane,
        stop: threading.Event,
        health: ServerHealth,
        gpus: VisibleGpus,
    ) -> None:
        self.options, self.new_server, self.control, self.stop = options, new_server, control, stop
        self.models = models
        self.build = ServedBuild(models.repository, models.models)
        self.limits = _Limits(options.settings, models)
        self.reconciler = Reconciler(
            reader,
            models,
            None if options.state_file is None else options.state_file.with_name(STATE),
            prepare=self.limits.prepare,
            loaded=self.limits.add,
            left=self.limits.remove,
        )
        self.health = health
        self.gpus = gpus
        self.policy = TritonRestartPolicy(options.max_restarts)
        self.was_ready = self.was_rebuilt = False
        self._looked_for_build = 0.0
        self._said_that_it_leaves = False

    def run(self) -> None:
        """
        Raises:
            ServerError: see `serve`.
        """
        with ExitStack() as files:
            while not self.stop.is_set():
                started, ready = time.monotonic(), None
                try:
                    with self.new_server() as server:
                        if wait_until_ready(server, self.stop):
                            ready = time.monotonic()
                            self._serve_with(server, started, files)
                        say("stopping: finishing what is in flight")
                    return
                except StaleRepositoryError:
                    raise
                except ServerError as error:
                    if (gpu := self.gpus.take_out(str(error))) is not None:
                        say(f"{error}; starting Triton again without GPU {gpu}", "ERROR")
                        continue
                    if ready is None and not self.was_ready and not isinstance(error, TritonLostError):
                        raise  # it said what is wrong, and will say so again
                    if self.health.leaves_at is not None:
                        return
                    delay = self._seconds_until_next(error, ready)
                    say(f"{error}; starting Triton again", "ERROR")
                    self.stop.wait(delay)

    def _serve_with(self, server: TritonProcess, started: float, files: ExitStack) -> None:
        """Until told to stop, or rebuilt.

        Raises:
            ServerError: the server was lost.
        """
        watchdog = Watchdog(server, self.options.stall_timeout, say)
        watchdog.begin()
        if not self.was_ready:
            self.limits.measure(server, watchdog, self.stop)
        if self.stop.is_set():
            return
        seconds, where = time.monotonic() - started, self.options.endpoints
        say(f"ready after {seconds:.1f} s: {where.grpc_url} {where.http_url} {where.metrics_url}")
        if not self.was_ready:
            self.was_ready = True
            files.enter_context(self.control.written_beside(self.options.state_file))
            files.enter_context(_removed_at_the_end(self.options.state_file))
            self.reconciler.look(server, watchdog)  # says what is served, before the state file says that it is
            files.enter_context(_state_file(self.options))
            _shorten_warm_up(self.models.configs())
        self.health.has_started, self.health.fault = True, None
        try:
            self._watch(server, watchdog)
        finally:
            self.health.fault, self.health.looked_at = "Triton is being started again", None

    def _watch(self, server: TritonProcess, watchdog: Watchdog) -> None:
        while not self.stop.wait(LOOK_SECONDS):
            if server.has_ended():
                raise server.failure()
            if self._is_rebuilt(self.build):
                return
            watchdog.look()
            self.reconciler.look(server, watchdog)
            if self.reconciler.is_idle():
                self.limits.look(server, watchdog, self.stop)
            self.health.fault, self.health.looked_at = watchdog.what_is_lost(), time.monotonic()
            if self.health.leaves_at is not None:
                self._leave(self.health.leaves_at)

    def _leave(self, at: float) -> None:
        if not self._said_that_it_leaves:
            self._said_that_it_leaves = True
            say(f"not ready any more, and serving on for {self.options.lame_duck:g} s")
        if time.monotonic() >= at:
            self.stop.set()

    def _is_rebuilt(self, build: ServedBuild) -> bool:
        """Whether that is a reason to stop; said once, and looked for once a second."""
        if self.was_rebuilt or time.monotonic() < self._looked_for_build + _BUILD_SECONDS:
            return False
        self._looked_for_build = time.monotonic()
        if not build.is_replaced():
            return False
        self.was_rebuilt = True
        if self.options.until_rebuilt:
            say(f"{build.repository} was built anew: start this again to serve it")
            return True
        say(f"{build.repository} was built anew: served is what it was, until this is started again", "WARNING")
        return False

    def _seconds_until_next(self, error: ServerError, ready: float | None) -> float:
        if self.was_rebuilt:
            raise StaleRepositoryError(
                f"{error}; it cannot be started again, for {self.options.repository} was built anew since: "
                "start this again"
            ) from error
        if ready is None:
            return self.policy.seconds_after_failing(error)
        return self.policy.seconds_after_serving(time.monotonic() - ready)


class _Limits:
    """Of all deployments: one admission, for they share the machine."""

    def __init__(self, given: GivenSettings, models: ServedModels) -> None:
        self._given, self._models = given, models
        self._by_name = {name: self._limits(each) for name, each in models.deployments.items()}

    def measure(self, server: TritonProcess, watchdog: Watchdog, stop: threading.Event) -> None:
        """Each that answers under a public name, one after the other. Raises as `WaitLimits.measure` does."""
        for model in self._models.models:
            if not stop.is_set():
                self._by_name[self._models.live_deployment(model).names.ensemble].measure(server, watchdog, stop)

    def look(self, server: TritonProcess, watchdog: Watchdog, stop: threading.Event) -> None:
        """See `WaitLimits.look`; one is measured at a time."""
        for limits in self._by_name.values():
            limits.look(server, watchdog, stop)
            if limits.is_measuring():
                break

    def prepare(self, deployment: ServedDeployment) -> None:
        """One that is to be loaded begins with the limits of the one that serves."""
        live = self._by_name.get(self._models.live_deployment(deployment.model).names.ensemble)
        if live is not None:
            live.current.limit(deployment.settings).apply(deployment.configs, deployment.names)

    def add(self, deployment: ServedDeployment) -> None:
        """One is loaded: measured when it has time, as far as that lets more in."""
        live = self._by_name.get(self._models.live_deployment(deployment.model).names.ensemble)
        limits = self._limits(deployment)
        if live is not None:
            limits.begin_with(live.current.limit(deployment.settings))
        self._by_name[deployment.names.ensemble] = limits
        _shorten_warm_up(deployment.configs)

    def remove(self, deployment: ServedDeployment) -> None:
        """One is unloaded."""
        self._by_name.pop(deployment.names.ensemble, None)

    def _limits(self, deployment: ServedDeployment) -> WaitLimits:
        among = len(self._models.live)
        return WaitLimits(deployment.settings, self._given, deployment.configs, deployment.names, among)


def _shorten_warm_up(configs: Mapping[str, ModelConfig]) -> None:
    """A server that is started again is waited for: it warms up by what it is asked."""
    for config in configs.values():
        if "warm_up_seconds" in config.parameters:
            config.parameters["warm_up_seconds"].string_value = "0"


@contextmanager
def _stop_on_signals(stop: threading.Event, health: ServerHealth, lame_duck: float) -> Iterator[None]:
    """SIGTERM lets callers of a server that is ready learn of it first; a second signal, or Ctrl-C, does not."""

    def handle(number: int, _frame: FrameType | None) -> None:
        is_first = health.leaves_at is None
        health.leaves_at = time.monotonic() + lame_duck
        if not (lame_duck and is_first and number == signal.SIGTERM and health.looked_at is not None):
            stop.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup's choice
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _removed_at_the_end(state_file: Path | None) -> Iterator[None]:
    """What is said of deployments holds while they are served."""
    try:
        yield
    finally:
        if state_file is not None:
            state_file.with_name(STATE).unlink(missing_ok=True)


@contextmanager
def _state_file(options: ServeOptions) -> Iterator[None]:
    """While ready, a file says who serves what and where."""
    path = options.state_file
    if path is None:
        yield
        return
    state = {
        "pid": os.getpid(),
        "identity": process_identity(os.getpid()),
        "stop_timeout": options.lame_duck + 2 * options.exit_timeout + 20,
        "repository": str(options.repository.absolute()),
        "endpoints": asdict(options.endpoints),
    }
    try:
        write_whole(path, json.dumps(state, indent=2).encode() + b"\n")
    except OSError as error:  # a full disk, say: it serves all the same
        say(f"{path} could not be written ({error.strerror}): serving on without", "WARNING")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
