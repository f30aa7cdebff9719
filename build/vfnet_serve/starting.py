"""What `vfnet up` brings up: Triton on the folder's repository, and the gateway in front of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from vfnet_build.manifest import MANIFEST
from vfnet_serve.background import RunningProcess, StateFolder
from vfnet_serve.endpoints import Endpoints

SERVER_START_TIMEOUT = 300.0
"""Seconds; a first start compiles the network."""
GATEWAY_START_TIMEOUT = 60.0
_VFNET = (sys.executable, "-m", "vfnet_client")
_KEYS_VARIABLE = "VFNET_GATEWAY_KEYS"


def running_endpoints(folder: StateFolder) -> Endpoints | None:
    """Where the folder's Triton listens, if it runs."""
    running = folder.server.find()
    try:
        return None if running is None else Endpoints(**running.state["endpoints"])
    except (KeyError, TypeError):
        return None


def start_server(
    folder: StateFolder,
    endpoints: Endpoints,
    options: Sequence[str],
    *,
    repository: Path | None = None,
    is_ours: bool = False,
    environment: Mapping[str, str] | None = None,
    timeout: float = SERVER_START_TIMEOUT,
) -> int:
    """Start `vfnet serve` and wait until it is ready; its process number.

    Args:
        options: more options of `vfnet serve`.
        repository: what to serve; None is the folder's own.
        is_ours: it is to end with this process, however that ends.
        environment: variables beside those of this process.
        timeout: seconds until it has to be ready.

    Raises:
        ServerError: it ended instead.
    """
    command = [
        *_VFNET,
        "serve",
        f"--repository={repository or folder.repository}",
        f"--state-file={folder.server.state_file}",
    ]
    command += [f"--host={endpoints.host}", f"--http-port={endpoints.http_port}"]
    command += [f"--grpc-port={endpoints.grpc_port}", f"--metrics-port={endpoints.metrics_port}"]
    return folder.server.start([*command, *options], timeout, is_ours=is_ours, environment=environment)


@dataclass(frozen=True)
class GatewayOptions:
    """What a person chooses of the gateway that `vfnet up` starts."""

    port: int = 5001
    keys_file: Path | None = None

    def command(self, folder: StateFolder, endpoints: Endpoints) -> list[str]:
        """The gateway's command line."""
        command = [*_VFNET, "gateway", f"--server={endpoints.grpc_url}", f"--host={endpoints.host}"]
        command += [f"--port={self.port}", f"--manifest={folder.repository / MANIFEST}"]
        command.append(f"--state-file={folder.gateway.state_file}")
        return command if self.keys_file is None else [*command, f"--keys-file={self.keys_file.absolute()}"]


def ensure_gateway(folder: StateFolder, endpoints: Endpoints, options: GatewayOptions) -> bool:
    """Have the gateway run with these options; whether it had to be started.

    Raises:
        ServerError: it does not start.
    """
    command = options.command(folder, endpoints)
    running = folder.gateway.find()
    if running is not None and _runs_as(running, command):
        return False
    folder.gateway.stop()
    folder.gateway.start(command, GATEWAY_START_TIMEOUT)
    return True


def _runs_as(running: RunningProcess, command: list[str]) -> bool:
    """Whether a process was started with this command line and today's keys."""
    try:
        same_keys = running.process.environ().get(_KEYS_VARIABLE) == os.environ.get(_KEYS_VARIABLE)
        return bool(same_keys and running.process.cmdline()[1:] == command[1:])
    except psutil.Error:
        return False
