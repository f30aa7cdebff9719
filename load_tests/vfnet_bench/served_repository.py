"""Servers to measure: a built repository, with its network or without, and a gateway in front where one is wanted.

Whatever starts a server for a benchmark does it by `serving`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from vfnet_bench.errors import BenchmarkError
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.starting import GATEWAY_START_TIMEOUT, SERVER_START_TIMEOUT, GatewayOptions, start_server

NO_OP = "noop"
"""The configuration of the repository's models in which the detector has no network."""
WITHOUT_NETWORK = f"--model-config-name={NO_OP}"
CALLERS_WAIT = "--max-waiting=1000"
"""Callers in turn are to wait for each other, not to be refused."""
_HOST = "127.0.0.1"
_EXIT_TIMEOUT = 10  # seconds; nothing worth waiting for is in flight
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Gateway:
    """One that is ready."""

    host: str
    port: int
    """Of `/score` and KServe v2's REST."""
    grpc_url: str
    pid: int

    @property
    def rest_url(self) -> str:
        """Of KServe v2's REST."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class ServedRepository:
    """A ready server."""

    endpoints: Endpoints
    process: psutil.Process
    """`vfnet serve`; Triton and the models are its children."""
    seconds_to_ready: float
    """From starting `vfnet serve` to its being ready."""
    in_front: Gateway | None

    @property
    def gateway(self) -> Gateway:
        """Where one was asked for."""
        assert self.in_front is not None
        return self.in_front


@contextmanager
def serving(
    repository: Path,
    root: Path,
    options: Sequence[str] = (),
    *,
    gateway: bool = False,
    environment: Mapping[str, str] | None = None,
    timeout: float = SERVER_START_TIMEOUT,
) -> Iterator[ServedRepository]:
    """Serve `repository` on free ports while in the context.

    Args:
        root: a folder for the logs.
        options: more options of `vfnet serve`.
        gateway: start one in front of it too.
        environment: variables beside those of this process, for the server.
        timeout: seconds until the server has to be ready.

    Raises:
        ServerError: one of the two did not start; the message has its last words.
    """
    *ports, score, kserve = free_ports(5)
    folder, endpoints = StateFolder(root), Endpoints(_HOST, *ports)
    options = [f"--exit-timeout={_EXIT_TIMEOUT}", *options]
    with ExitStack() as stopped:
        stopped.callback(_stop, folder)
        started = perf_counter()
        pid = start_server(
            folder,
            endpoints,
            options,
            repository=repository.absolute(),
            is_ours=True,
            environment=environment,
            timeout=timeout,
        )
        seconds, in_front = perf_counter() - started, None
        if gateway:
            command = GatewayOptions(score, grpc_port=kserve).command(folder, endpoints)
            gateway_pid = folder.gateway.start(command, GATEWAY_START_TIMEOUT, is_ours=True)
            in_front = Gateway(_HOST, score, f"grpc://{_HOST}:{kserve}", gateway_pid)
        yield ServedRepository(endpoints, psutil.Process(pid), seconds, in_front)


def _stop(folder: StateFolder) -> None:
    """Both; an impatient second Ctrl-C would leave them behind."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        folder.gateway.stop()
        folder.server.stop()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def repository_or_demo(named: Path | None, scratch: Path) -> Path:
    """The repository that a person named, else one of the demonstration checkpoint, built into `scratch`.

    It is built in a process of its own: torch is not wanted in the process that measures.

    Raises:
        BenchmarkError: the build failed; it has said why.
    """
    if named is not None:
        return named
    repository = scratch / "built"
    command = [sys.executable, "-m", "vfnet", "build", f"--repository={repository}"]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise BenchmarkError("the demonstration repository could not be built")
    return repository


def with_fixed_time(repository: Path, target: Path, milliseconds: float) -> Path:
    """A copy whose configuration `noop` takes so long for an image, one after another; the copy."""
    return _with_no_op(repository, target, {"milliseconds": f"{milliseconds:g}"})


def with_fixed_detections(repository: Path, target: Path, number: int) -> Path:
    """A copy whose configuration `noop` finds so many; the copy."""
    return _with_no_op(repository, target, {"detections": str(number)})


def _with_no_op(repository: Path, target: Path, parameters: Mapping[str, str]) -> Path:
    from vfnet_build.model_configuration import configure  # protobuf takes a while to import

    shutil.copytree(repository, target, ignore=shutil.ignore_patterns("network.*"))
    noop = target / "vfnet_detector" / "configs" / f"{NO_OP}.pbtxt"
    configure(noop, noop, dict(parameters))
    return target
