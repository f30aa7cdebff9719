"""A real gateway for tests: `vfnet gateway` on a free port, stopped at the end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from vfnet_client.free_ports import free_ports
from vfnet_process import running_vfnet


@dataclass(frozen=True)
class RunningGateway:
    """A running `vfnet gateway`."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str
    grpc_address: str

    @property
    def grpc_authority(self) -> str:
        return self.grpc_address.partition("//")[2]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def grpc_port(self) -> int:
        return int(self.grpc_address.rpartition(":")[2])

    def client(self, **options: Any) -> httpx.Client:
        if self.address.startswith("http:"):
            options["verify"] = False  # to read the usual authorities takes longer than a request
        return httpx.Client(base_url=self.address, timeout=60, trust_env=False, **options)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def metric(self, sample: str) -> float:
        """One sample of /metrics, named with its labels; 0 where it is not there."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample), 0.0)


@contextmanager
def running_gateway(
    server: str, folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningGateway]:
    """A gateway to the Triton at the URL `server` while in the context; log and state go to `folder`."""
    port, grpc_port = free_ports(2)
    log, state = folder / "gateway.log", folder / "gateway.json"
    arguments = ("gateway", f"--server={server}", f"--port={port}", f"--grpc-port={grpc_port}", *options)
    with running_vfnet(*arguments, log=log, state=state, patience=60, environment=environment) as process:
        said = json.loads(state.read_text())
        yield RunningGateway(process, log, said["address"], said.get("grpc_address", ""))
