"""Several `vfnet serve` of one repository on this machine, and a gateway in front of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from vfnet_bench.errors import BenchmarkError
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.local_http import fetch
from vfnet_serve.starting import GATEWAY_START_TIMEOUT, GatewayOptions, start_server

_HOST = "127.0.0.1"


@dataclass
class FleetServer:
    """One server, which may be killed, stopped for a while, and started again on the same ports.

    To be started by a thread that outlives it: it ends with that.
    """

    folder: StateFolder
    endpoints: Endpoints
    repository: Path
    options: Sequence[str]
    pid: int = 0

    @property
    def url(self) -> str:
        """Of its gRPC."""
        return self.endpoints.grpc_url

    def start(self) -> None:
        """Until it is ready. Raises ServerError."""
        self.pid = start_server(
            self.folder, self.endpoints, self.options, repository=self.repository.absolute(), is_ours=True
        )

    def stop(self) -> None:
        """As an operator would: it finishes what it has."""
        self.folder.server.stop()

    def family(self) -> list[psutil.Process]:
        """`vfnet serve`, Triton and the models' processes."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill_triton(self) -> None:
        """As the kernel does where memory runs out; `vfnet serve` starts another."""
        for process in self.family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """While in the context none of its processes runs, and its connections stay open."""
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


@dataclass
class FleetGateway:
    """One that is ready."""

    port: int
    grpc_url: str
    pid: int

    def has_in(self, server: FleetServer) -> bool:
        """Whether a server gets images, by the gateway's metrics."""
        sample = f'vfnet_gateway_server_in{{server="{server.url}"}} 1.0'
        return sample in fetch(f"http://{_HOST}:{self.port}/metrics").decode().splitlines()

    def seconds_until(self, server: FleetServer, *, is_in: bool, limit: float = 120.0) -> float:
        """Until a server gets images, or gets none any more.

        Raises:
            BenchmarkError: not within `limit` seconds.
        """
        started = time.monotonic()
        while self.has_in(server) != is_in:
            if time.monotonic() - started > limit:
                raise BenchmarkError(f"{server.url} was not {'back' if is_in else 'left out'} within {limit:g} s")
            time.sleep(0.05)
        return time.monotonic() - started


@contextmanager
def fleet(repository: Path, root: Path, number: int, options: Sequence[str]) -> Iterator[list[FleetServer]]:
    """So many servers while in the context. Raises ServerError."""
    ports = free_ports(3 * number)
    with ExitStack() as stopped:
        servers = []
        for position in range(number):
            folder = root / f"server{position}"
            folder.mkdir(parents=True)
            endpoints = Endpoints(_HOST, *ports[3 * position : 3 * position + 3])
            server = FleetServer(StateFolder(folder), endpoints, repository, options)
            stopped.callback(server.stop)
            server.start()
            servers.append(server)
        yield servers


@contextmanager
def gateway_to(servers: Sequence[FleetServer], folder: Path, options: Sequence[str] = ()) -> Iterator[FleetGateway]:
    """A gateway in front of them while in the context. Raises ServerError."""
    folder.mkdir(parents=True, exist_ok=True)
    state, (port, grpc_port) = StateFolder(folder), free_ports(2)
    command = GatewayOptions(port, grpc_port=grpc_port).command(state, servers[0].endpoints)
    command += [f"--server={server.url}" for server in servers[1:]]
    pid = state.gateway.start([*command, *options], GATEWAY_START_TIMEOUT, is_ours=True)
    try:
        yield FleetGateway(port, f"grpc://{_HOST}:{grpc_port}", pid)
    finally:
        state.gateway.stop()
