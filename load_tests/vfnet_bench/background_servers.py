"""The two processes under load: Triton with the no-op detector, and the gateway in front of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfnet_client.exceptions import CommandError
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError
from vfnet_serve.starting import GATEWAY_START_TIMEOUT, GatewayOptions, start_server

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
    gateway_grpc_url: str
    gateway_pid: int


@contextmanager
def road(repository: Path, scratch: Path, model_config_name: str | None = NO_OP) -> Iterator[Road]:
    """Serve a built repository, without its network unless told otherwise, with a gateway; logs go to `scratch`.

    Raises:
        CommandError: one of the two did not start.
    """
    *ports, score, kserve = free_ports(5)
    folder, endpoints = StateFolder(scratch), Endpoints("127.0.0.1", *ports)
    options = [f"--max-waiting={_MAX_WAITING}"]
    options += [f"--model-config-name={model_config_name}"] if model_config_name else []
    with ExitStack() as stopped:
        stopped.callback(folder.server.stop)
        stopped.callback(folder.gateway.stop)
        try:
            start_server(folder, endpoints, options, repository=repository, is_ours=True)
            gateway = [*GatewayOptions(score).command(folder, endpoints), f"--grpc-port={kserve}"]
            pid = folder.gateway.start(gateway, GATEWAY_START_TIMEOUT, is_ours=True)
        except ServerError as error:
            raise CommandError(str(error)) from None
        yield Road(endpoints.grpc_url, endpoints.host, score, f"grpc://{endpoints.host}:{kserve}", pid)


def build_demo(repository: Path) -> None:
    """A repository of the demonstration checkpoint.

    Raises:
        CommandError: the build failed; it has said why.
    """
    command = [sys.executable, "-m", "vfnet", "build", f"--repository={repository}"]
    if subprocess.run(command, check=False).returncode != 0:
        raise CommandError("the demonstration repository could not be built")
