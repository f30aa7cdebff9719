"""Where a server listens."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from vfnet_client.commands.settings_options import Port
from vfnet_serve.installation import ServerError


@dataclass(frozen=True)
class Endpoints:
    """One address and Triton's three ports."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    http_port: Port = 8000
    """Of Triton's HTTP."""
    grpc_port: Port = 8001
    """Of Triton's gRPC."""
    metrics_port: Port = 8002
    """Of Triton's metrics."""

    @property
    def local_host(self) -> str:
        """An address of this machine that reaches `host`."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def _url_host(self) -> str:
        return _bracketed(self.local_host)

    @property
    def http_url(self) -> str:
        """Base of Triton's HTTP endpoints."""
        return f"http://{self._url_host}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        """What `vfnet detect --server` takes."""
        return f"grpc://{self._url_host}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics."""
        return f"http://{self._url_host}:{self.metrics_port}/metrics"

    def triton_options(self) -> list[str]:
        """As tritonserver wants them: its HTTP servers and its gRPC server read IPv6 addresses each in its own way."""
        http = f"ipv6:{self.host}" if ":" in self.host else self.host
        return [
            f"--http-address={http}",
            f"--grpc-address={_bracketed(self.host)}",
            f"--metrics-address={http}",
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
        ]

    def check_free(self) -> None:
        """Raise ServerError if one of the ports is taken."""
        ports = {"http-port": self.http_port, "grpc-port": self.grpc_port, "metrics-port": self.metrics_port}
        if len(set(ports.values())) < len(ports):
            raise ServerError(f"the three ports must differ: {ports}")
        check_free(self.host, ports)


def check_free(host: str, ports: Mapping[str, int]) -> None:
    """Whether this process could listen there; the names are those of options.

    Raises:
        ServerError: another program does, or this machine has no such address.
    """
    for name, port in ports.items():
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, OverflowError) as error:
            if isinstance(error, OverflowError):
                reason, advice = "ports are from 0 to 65535", f"choose another with --{name}"
            elif error.errno == errno.EADDRINUSE:
                reason = str(error.strerror)
                advice = f"another server may be running; choose another with --{name}"
            else:
                reason, advice = str(error.strerror), "choose another address with --host"
            raise ServerError(f"cannot listen on {host} port {port} ({reason}): {advice}") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
