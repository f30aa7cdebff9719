"""A real Triton for tests: `vfnet serve` on free ports, stopped at the end."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ServedRepository:
    """A running `vfnet serve`."""

    process: subprocess.Popen[bytes]
    repository: Path
    log: Path
    http_port: int
    grpc_port: int
    metrics_port: int

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc_port}"

    def model_processes(self, model: str) -> list[psutil.Process]:
        """The living Python processes of one model."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
                if any(f"/{model}/" in argument for argument in child.cmdline()[1:2]):
                    found.append(child)
        return found


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


@contextmanager
def serving(repository: Path, folder: Path, *options: str) -> Iterator[ServedRepository]:
    """Serve `repository` while in the context; logs and state go to `folder`."""
    http_port, grpc_port, metrics_port = free_ports(3)
    log, state = folder / "server.log", folder / "server.json"
    command = [sys.executable, "-m", "vfnet_client", "serve", f"--repository={repository}", f"--state-file={state}"]
    command += [f"--http-port={http_port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while not state.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        assert json.loads(state.read_text())["pid"] == process.pid
        yield ServedRepository(process, repository, log, http_port, grpc_port, metrics_port)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
