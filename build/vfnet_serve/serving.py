"""`vfnet serve` as a function: run a server in the foreground until told to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.exceptions import VFNetClientError
from vfnet_client.process_identity import process_identity
from vfnet_client.writing import write_whole
from vfnet_serve.adapted_repository import read_configs
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError, find_triton
from vfnet_serve.machine import this_machine
from vfnet_serve.measured_speed import measure_speed
from vfnet_serve.served_build import ServedBuild
from vfnet_serve.server_log import ServerLog, say
from vfnet_serve.serving_settings import GivenSettings, ServingSettings, choose_settings
from vfnet_serve.triton_process import TritonProcess, wait_until_ready
from vfnet_serve.watchdog import Watchdog

_LOOK_SECONDS = 0.5
_DOOR = "vfnet_preprocess"
"""The model whose queue is the ensemble's, and that counts what is in there."""


@dataclass(frozen=True)
class ServeOptions:
    """What a person chooses."""

    repository: Path
    endpoints: Endpoints = field(default_factory=Endpoints)
    model_config_name: str | None = None
    gpus: str | None = None
    """CUDA_VISIBLE_DEVICES of the server: each GPU it sees gets an instance of a detector that runs on GPUs."""
    settings: GivenSettings = field(default_factory=GivenSettings)
    stall_timeout: float = 60.0
    exit_timeout: int = 30
    triton: Path | None = None
    state_file: Path | None = None
    until_rebuilt: bool = False
    """Whether to stop when the repository is built anew."""
    verbose: bool = False


def serve(options: ServeOptions) -> None:
    """Serve until SIGTERM, SIGINT or a terminal that closes; requests in flight are finished first.

    Must run on the main thread.

    Raises:
        ServerError: it cannot start, the server process ended by itself, or it lost a model process whose files are
            no longer there.
    """
    stop = threading.Event()
    with _stop_on_signals(stop):
        installation = find_triton(options.triton)
        options.endpoints.check_free()
        build = ServedBuild(options.repository.absolute())
        configs = read_configs(build.repository, options.model_config_name)
        machine = this_machine(visible=options.gpus)
        settings = choose_settings(machine, configs, options.settings)
        settings.apply(configs)
        say(settings.describe(machine, options.settings))
        server = TritonProcess(
            installation,
            build,
            options.endpoints,
            ServerLog(options.verbose),
            configs,
            gpus=options.gpus,
            exit_timeout=options.exit_timeout,
        )
        say(f"starting Triton on {options.repository}")
        started = time.monotonic()
        with server:
            if wait_until_ready(server, stop):
                watchdog = Watchdog(server, options.stall_timeout, say)
                watchdog.begin()
                if options.settings.max_in_flight is None or options.settings.max_waiting is None:
                    _bound_the_wait(server, watchdog, settings, options.settings, configs, stop)
                seconds, where = time.monotonic() - started, options.endpoints
                say(f"ready after {seconds:.1f} s: {where.grpc_url} {where.http_url} {where.metrics_url}")
                with _state_file(options):
                    _watch(server, watchdog, stop, options.until_rebuilt)
            say("stopping: finishing what is in flight")
        say("stopped")


def _bound_the_wait(
    server: TritonProcess,
    watchdog: Watchdog,
    settings: ServingSettings,
    given: GivenSettings,
    configs: Mapping[str, ModelConfig],
    stop: threading.Event,
) -> None:
    """Let fewer in than chosen where the server turns out to be too slow for them; see `--max-wait`.

    Raises:
        ServerError: the server process ended.
    """
    try:
        speed = measure_speed(server.endpoints, settings.fewest_in_flight, stop)
        bounded = settings.within_max_wait(speed, given)
        if bounded != settings and not stop.is_set():
            bounded.apply(configs)
            watchdog.expect_new(_DOOR)
            server.reconfigure(_DOOR, configs[_DOOR])
        say(
            f"{speed:.3g} images/s measured: --max-in-flight {bounded.max_in_flight} --max-waiting "
            f"{bounded.max_waiting}, so that the newest waits for {bounded.longest_wait(speed):.2g} s at most"
        )
    except (OSError, ServerError, VFNetClientError) as error:
        if server.has_ended(within=1):
            raise server.failure() from None
        say(f"--max-wait bounds nothing, for the speed could not be measured or heeded: {error}", "WARNING")


def _watch(server: TritonProcess, watchdog: Watchdog, stop: threading.Event, until_rebuilt: bool) -> None:
    was_rebuilt = False
    while not stop.wait(_LOOK_SECONDS):
        if server.has_ended():
            raise server.failure()
        if not was_rebuilt and server.build.is_replaced():
            was_rebuilt = True
            if until_rebuilt:
                say(f"{server.build.repository} was built anew: start this again to serve it")
                return
            say(
                f"{server.build.repository} was built anew: served is what it was, until this is started again",
                "WARNING",
            )
        watchdog.look()


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
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
def _state_file(options: ServeOptions) -> Iterator[None]:
    """While ready, a file says who serves what and where."""
    path = options.state_file
    if path is None:
        yield
        return
    state = {
        "pid": os.getpid(),
        "identity": process_identity(os.getpid()),
        "stop_timeout": 2 * options.exit_timeout + 20,
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
