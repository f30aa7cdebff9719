"""What `vfnet up` brings up: Triton on the folder's repository, and the gateway in front of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vfnet_client.commands.options import port_number
from vfnet_client.commands.settings_options import File
from vfnet_client.model_names import MODEL
from vfnet_model.manifest import built_models
from vfnet_serve.background import StateFolder
from vfnet_serve.deployments.served_state import served_manifest
from vfnet_serve.endpoints import Endpoints

SERVER_START_TIMEOUT = 300.0
"""Seconds; a first start compiles the network."""
GATEWAY_START_TIMEOUT = 60.0
KEYS_VARIABLE = "VFNET_GATEWAY_KEYS"
_VFNET = (sys.executable, "-m", "vfnet")


def running_endpoints(folder: StateFolder) -> Endpoints | None:
    """Where the folder's Triton listens, if it runs."""
    running = folder.server.find()
    try:
        return None if running is None else Endpoints(**running.state["endpoints"])
    except (KeyError, TypeError):
        return None


def server_command(
    folder: StateFolder, endpoints: Endpoints, options: Sequence[str], repository: Path | None = None
) -> list[str]:
    """`vfnet serve` with more options on `repository`; None is the folder's own."""
    return [
        *_VFNET,
        "serve",
        f"--repository={repository or folder.repository}",
        f"--state-file={folder.server.state_file}",
        f"--host={endpoints.host}",
        f"--http-port={endpoints.http_port}",
        f"--grpc-port={endpoints.grpc_port}",
        f"--metrics-port={endpoints.metrics_port}",
        *options,
    ]


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
    """Start `vfnet serve`, not supervised, and wait until it is ready; its process number.

    Args:
        options: more options of `vfnet serve`.
        repository: what to serve; None is the folder's own.
        is_ours: it is to end with this process, however that ends.
        environment: variables beside those of this process.
        timeout: seconds until it has to be ready.

    Raises:
        ServerError: it ended instead.
    """
    command = server_command(folder, endpoints, options, repository)
    return folder.server.start(command, timeout, is_ours=is_ours, environment=environment)


@dataclass(frozen=True)
class GatewayOptions:
    """What a person chooses of the gateway that `vfnet up` starts; options of that are made of this."""

    port: Annotated[int, port_number, "PORT", "--score-port"] = 5001
    """Of /score and /ui."""
    grpc_port: Annotated[int, port_number, "PORT", "--score-grpc-port"] = 5002
    """Where the gateway speaks gRPC; 0: nowhere."""
    keys_file: File | None = None
    """Bearer keys that /score asks for, one a line."""
    host: str | None = None
    """To listen on; None: where Triton does."""

    def command(self, folder: StateFolder, endpoints: Endpoints) -> list[str]:
        """The gateway's command line: for all models that the repository holds."""
        command = [*_VFNET, "gateway", f"--server={endpoints.grpc_url}", f"--host={self.host or endpoints.host}"]
        command += [f"--port={self.port}", f"--manifest={served_manifest(folder.root)}"]
        command += [f"--grpc-port={self.grpc_port}", f"--traffic-file={folder.traffic}"]
        command.append(f"--state-file={folder.gateway.state_file}")
        others = [model for model in built_models(folder.repository) if model != MODEL]
        if others:
            command += [f"--model={model}" for model in (MODEL, *others)]
        return command if self.keys_file is None else [*command, f"--keys-file={self.keys_file.absolute()}"]


def gateway_keys() -> str | None:
    """Keys that the environment gives to the gateway, and to nobody else."""
    return os.environ.get(KEYS_VARIABLE)


def ports_of_running(folder: StateFolder) -> set[int]:
    """Ports that the folder's own processes hold, and give back when they are replaced."""
    endpoints = running_endpoints(folder)
    held = set() if endpoints is None else {endpoints.http_port, endpoints.grpc_port, endpoints.metrics_port}
    running = folder.gateway.find()
    if running is not None:
        for argument in running.command():
            name, _, value = argument.partition("=")
            if name in ("--port", "--grpc-port") and value.isdecimal():
                held.add(int(value))
    return held
