"""Where the load goes. Loopback only, unless somebody says that the server is their own."""

from __future__ import annotations

import argparse
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

OWN_SERVER = "--this-server-is-mine"


class TargetError(Exception):
    """The load may not go there, or cannot; `str(error)` says why and what to do."""


@dataclass(frozen=True)
class Targets:
    """The ways in, and where the servers are watched."""

    grpc: str
    """`host:port`."""
    triton_http: str
    """`http://host:port`, as the next."""
    gateway: str
    metrics: str
    """Triton's."""

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Targets:
        """As `add_target_arguments` named them."""
        grpc = urlsplit(options.grpc).netloc if "//" in options.grpc else options.grpc
        return cls(grpc, *(url.rstrip("/") for url in (options.triton_http, options.gateway, options.metrics)))

    def hosts_and_ports(self) -> list[tuple[str, int]]:
        """Of all four. Raises TargetError: one is no address."""
        return [_host_and_port(url) for url in (f"grpc://{self.grpc}", self.triton_http, self.gateway, self.metrics)]

    def check_loopback(self) -> None:
        """Raise TargetError if one of them is not this machine."""
        for host, _ in self.hosts_and_ports():
            if not _is_loopback(host):
                raise TargetError(
                    f"{host} is not this machine. Load tests are for your own servers: if it is yours, say {OWN_SERVER}"
                )


def add_target_arguments(parser: argparse.ArgumentParser, **shown: bool) -> None:
    """The options, on argparse's parser or locust's, which may be told to leave them off its page."""
    addresses = {"metavar": "URL", "help": "default: %(default)s"}
    parser.add_argument("--grpc", default="127.0.0.1:8001", metavar="HOST:PORT", help="Triton; default: %(default)s",
                        **shown)  # type: ignore[arg-type]  # fmt: skip
    for name, url in (("--triton-http", 8000), ("--metrics", 8002), ("--gateway", 5001)):
        parser.add_argument(name, default=f"http://127.0.0.1:{url}", **addresses, **shown)  # type: ignore[arg-type]
    parser.add_argument(OWN_SERVER, action="store_true", help="without this, any target but loopback is refused",
                        **shown)  # type: ignore[arg-type]  # fmt: skip


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        if parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise TargetError(f"{url} is no target: it needs a host and a port")


def _is_loopback(host: str) -> bool:
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise TargetError(f"there is no host {host}: {error}") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
