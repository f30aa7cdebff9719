"""Where a server listens."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from vfnet_serve.installation import ServerError


@dataclass(frozen=True)
class Endpoints:
    """One address and Triton's three ports."""

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002

    @property
    def local_host(self) -> str:
        """An address of this machine that reaches `host`."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host

    @property
    def http_url(self) -> str:
        """Base of Triton's HTTP endpoints."""
        return f"http://{self.local_host}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        """What `vfnet detect --server` takes."""
        return f"grpc://{self.local_host}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics."""
        return f"http://{self.local_host}:{self.metrics_port}/metrics"

    def check_free(self) -> None:
        """Raise ServerError if one of the ports is taken."""
        ports = {"http": self.http_port, "grpc": self.grpc_port, "metrics": self.metrics_port}
        if len(set(ports.values())) < len(ports):
            raise ServerError(f"the three ports must differ: {ports}")
        for name, port in ports.items():
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, port))
                except OSError as error:
                    raise ServerError(
                        f"cannot listen on {self.host} port {port} ({error.strerror}): "
                        f"another server may be running; choose another with --{name}-port"
                    ) from None
