"""The two processes under load: Triton with the no-op detector, and the gateway in front of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfnet_client.exceptions import CommandError
from vfnet_client.free_ports import free_ports
from vfnet_serve.parent_death import terminated_with_parent

_VFNET = (sys.executable, "-m", "vfnet_client")
NO_OP = "noop"
"""The configuration of the repository's models in which the detector has no network."""
_MAX_WAITING = 1000
"""Callers in turn are to wait for each other, not to be refused."""


@dataclass(frozen=True)
class Road:
    """Where both are reached."""

    grpc_url: str
    gateway_host: str
    gateway_port: int
    gateway_pid: int


@contextmanager
def road(repository: Path, scratch: Path, model_config_name: str | None = NO_OP) -> Iterator[Road]:
    """Serve a built repository, without its network unless told otherwise, with a gateway; logs go to `scratch`.

    Raises:
        CommandError: one of the two did not start.
    """
    http, grpc, metrics, score = free_ports(4)
    grpc_url = f"grpc://127.0.0.1:{grpc}"
    serve = ["serve", f"--repository={repository}", f"--http-port={http}", f"--max-waiting={_MAX_WAITING}"]
    serve += [f"--model-config-name={model_config_name}"] if model_config_name else []
    gateway = ["gateway", f"--server={grpc_url}", f"--port={score}"]
    with (
        _running([*serve, f"--grpc-port={grpc}", f"--metrics-port={metrics}"], scratch),
        _running(gateway, scratch) as pid,
    ):
        yield Road(grpc_url, "127.0.0.1", score, pid)


def build_demo(repository: Path) -> None:
    """A repository of the demonstration checkpoint.

    Raises:
        CommandError: the build failed; it has said why.
    """
    if subprocess.run([*_VFNET, "build", f"--repository={repository}"], check=False).returncode != 0:
        raise CommandError("the demonstration repository could not be built")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _running(arguments: list[str], scratch: Path) -> Iterator[int]:
    """One of our own commands while in the context, once it says that it is ready; its process number."""
    log, state = scratch / f"{arguments[0]}.log", scratch / f"{arguments[0]}.json"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_VFNET, *arguments, f"--state-file={state}"],
            stdout=output,
            stderr=output,
            preexec_fn=terminated_with_parent(),
        )
    try:
        while not state.exists():
            if process.poll() is not None:
                raise CommandError(f"vfnet {arguments[0]} did not start:\n{log.read_text(errors='replace').strip()}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)
