"""The gateway's gRPC port: a `grpc.aio` server in the gateway's own event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from vfnet_client.exceptions import CommandError
from vfnet_gateway.kserve.grpc_service import InferenceService

DEFAULT_GRPC_PORT = 5002
_MESSAGE_SLACK = 1 << 20
"""Bytes by which gRPC's own limit is beyond ours, which is the one that says what is wrong."""
_MOST_CALLS = 1024
_STOP_SLACK_S = 5.0


@dataclass(frozen=True)
class GRPCListening:
    """Where and how the port is reached."""

    host: str
    port: int
    certificate: Path | None = None
    """PEM, with the chain; turns TLS on."""
    certificate_key: Path | None = None
    """PEM; None: it is in the certificate's file."""

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def address(self) -> str:
        """Its URL."""
        return f"{'grpc' if self.certificate is None else 'grpcs'}://{self.authority}"


class GRPCServer:
    """A port that is taken when this is made, and served from `start` on. To be used by one event loop.

    Raises:
        CommandError: it cannot listen there, or its certificate cannot be used.
    """

    def __init__(
        self, listening: GRPCListening, max_message_bytes: int, handshake_timeout: float, *, shares_port: bool = False
    ) -> None:
        self.listening = listening
        self._service: InferenceService | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._certificate = None if listening.certificate is None else _Certificate(listening)
        self._server = grpc.aio.server(
            options=_options(max_message_bytes, handshake_timeout, shares_port=shares_port),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        try:
            if self._certificate is None:
                self._server.add_insecure_port(listening.authority)
            else:
                self._server.add_secure_port(listening.authority, self._certificate.credentials)
        except RuntimeError as error:
            raise CommandError(
                f"cannot listen on {listening.host} port {listening.port}: choose another with --grpc-port, or 0"
            ) from error

    async def start(self, service: InferenceService) -> None:
        """Accept calls."""
        self._service = service
        self._server.add_generic_rpc_handlers((service,))
        await self._server.start()

    def reload(self) -> None:
        """Read the certificate again; connections that are there keep theirs.

        Raises:
            CommandError: it cannot be used; the one known stays.
        """
        if self._certificate is not None:
            self._certificate.reload()

    def stop(self, grace: float) -> asyncio.Task[None]:
        """Accept nothing more, and give what is in flight `grace` seconds; the same task whenever it is called."""
        if self._service is not None:
            self._service.is_draining = True
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace))
        return self._stopping

    async def _stop(self, grace: float) -> None:
        stopped = asyncio.create_task(self._server.stop(grace + _STOP_SLACK_S))
        await asyncio.wait({stopped}, timeout=grace)
        if self._service is not None:
            self._service.is_stopping = True
            for call in tuple(self._service.calls):
                call.cancel()
        await stopped


class _Certificate:
    """What TLS handshakes ask for, each of them anew."""

    def __init__(self, listening: GRPCListening) -> None:
        self._listening = listening
        self._current = self._read()
        self._used = self._current
        self.credentials: Any = grpc.dynamic_ssl_server_credentials(self._current, self._newer)

    def reload(self) -> None:
        self._current = self._read()

    def _newer(self) -> Any:
        """Called by gRPC's own threads: a configuration, or None where it is the one they have."""
        if self._current is self._used:
            return None
        self._used = self._current
        return self._current

    def _read(self) -> Any:
        certificate = self._listening.certificate
        assert certificate is not None
        try:
            chain = certificate.read_bytes()
            key = (self._listening.certificate_key or certificate).read_bytes()
        except OSError as error:
            raise CommandError(f"cannot use the certificate {certificate}: {error.strerror}") from error
        return grpc.ssl_server_certificate_configuration([(key, chain)])


def _options(max_message_bytes: int, handshake_timeout: float, *, shares_port: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", int(shares_port)),  # else a port that is taken is an error
        ("grpc.max_receive_message_length", max_message_bytes + _MESSAGE_SLACK),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", 256),  # of one connection
        ("grpc.max_metadata_size", 8 << 10),
        ("grpc.absolute_max_metadata_size", 16 << 10),
        # A compressed message may unfold to a thousand times its size: none is accepted, and none is sent.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.per_message_decompression", 0),
        ("grpc.server_handshake_timeout_ms", int(1000 * handshake_timeout)),
        ("grpc.max_connection_idle_ms", 300_000),
        # Clients that are gone without a word are found out; those that ping more often than this are hung up on.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 2),
    ]
