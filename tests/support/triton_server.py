"""A real Triton for tests: `vfnet serve` on free ports, stopped at the end."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from vfnet_client.free_ports import free_ports
from vfnet_client.model_names import MODEL
from vfnet_process import running_vfnet
from vfnet_runtime.tickets import TicketLedger

NO_OP = "--model-config-name=noop"
"""The repository's own configuration of a detector without a network."""
ROOM = ("--max-in-flight=10", "--max-waiting=16")
"""As many as on two cores that are fast enough, so that what is tested does not depend on how fast these are."""


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
        return model_processes(self.process.pid, model)

    def images_inside(self) -> int:
        """Images in the ensemble, by the file that the model processes share."""
        (activity,) = {
            Path(process.environ()["VFNET_ACTIVITY_DIR"]) for process in self.model_processes("vfnet_preprocess")
        }
        ledger = TicketLedger(activity / f"tickets-{MODEL}")
        try:
            return ledger.count()
        finally:
            ledger.close()


def model_processes(server: int, model: str) -> list[psutil.Process]:
    """The living Python processes of one model of the `vfnet serve` whose process id is given."""
    found = []
    for child in psutil.Process(server).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if any(f"/{model}/" in argument for argument in child.cmdline()[1:2]):
                found.append(child)
    return found


@contextmanager
def serving(repository: Path, folder: Path, *options: str, room: tuple[str, ...] = ROOM) -> Iterator[ServedRepository]:
    """Serve `repository` while in the context; logs and state go to `folder`."""
    http_port, grpc_port, metrics_port = free_ports(3)
    log, state = folder / "server.log", folder / "server.json"
    ports = (f"--http-port={http_port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}")
    arguments = ("serve", f"--repository={repository}", *ports, *room, *options)
    with running_vfnet(*arguments, log=log, state=state, patience=120) as process:
        assert json.loads(state.read_text())["pid"] == process.pid
        yield ServedRepository(process, repository, log, http_port, grpc_port, metrics_port)
