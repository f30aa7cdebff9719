"""A server to measure: a built repository, with its network or with a detector that takes a fixed time."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from vfnet_build.model_configuration import configure
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.starting import SERVER_START_TIMEOUT, start_server

_EXIT_TIMEOUT = 10  # seconds; nothing worth waiting for is in flight
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class ServedRepository:
    """A ready server."""

    endpoints: Endpoints
    process: psutil.Process
    """`vfnet serve`; Triton and the models are its children."""
    seconds_to_ready: float
    """From starting `vfnet serve` to its being ready."""


@contextmanager
def serving(
    repository: Path,
    root: Path,
    options: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = SERVER_START_TIMEOUT,
) -> Iterator[ServedRepository]:
    """Serve `repository` on free ports while in the context.

    Args:
        root: a folder for the log.
        options: more options of `vfnet serve`.
        environment: variables beside those of this process.
        timeout: seconds until it has to be ready.

    Raises:
        ServerError: it did not start; the message has its last words.
    """
    folder, endpoints = StateFolder(root), Endpoints("127.0.0.1", *free_ports(3))
    options = [f"--exit-timeout={_EXIT_TIMEOUT}", *options]
    started = perf_counter()
    try:
        pid = start_server(
            folder, endpoints, options, repository=repository, is_ours=True, environment=environment, timeout=timeout
        )
        yield ServedRepository(endpoints, psutil.Process(pid), perf_counter() - started)
    finally:
        with _signals_ignored():  # an impatient second Ctrl-C would leave the server behind
            folder.server.stop()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def with_fixed_time(repository: Path, target: Path, milliseconds: float) -> Path:
    """A copy whose configuration `noop` takes so long for an image, one after another; the copy."""
    shutil.copytree(repository, target, ignore=shutil.ignore_patterns("network.*"))
    noop = target / "vfnet_detector" / "configs" / "noop.pbtxt"
    configure(noop, noop, {"milliseconds": f"{milliseconds:g}"})
    return target
