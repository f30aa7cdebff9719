"""`vfnet gateway` as a function: uvicorn in the foreground until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated

import uvicorn

from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import seconds_or_none
from vfnet_client.commands.settings_options import Count, File, Port
from vfnet_client.exceptions import CommandError
from vfnet_client.transport import server_urls
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.application import Gateway
from vfnet_gateway.connection import connection_protocol
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.kserve.grpc_server import DEFAULT_GRPC_PORT, GRPCListening, GRPCServer
from vfnet_gateway.settings import DEFAULT_PORT, GatewaySettings
from vfnet_supervision.listening import listen
from vfnet_supervision.process_identity import process_identity
from vfnet_supervision.ring import inherited_listener


@dataclass(frozen=True)
class Listening:
    """Where and how the gateway is reached."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = DEFAULT_PORT
    """Of /score, /ui and KServe v2 over HTTP."""
    certificate: File | None = None
    """PEM chain: serve with TLS."""
    certificate_key: File | None = None
    """Its key, if not in the same file."""
    lame_duck: Annotated[float, seconds_or_none, "SECONDS"] = 0.0
    """Serve on for so long after SIGTERM, already not ready, so that load balancers learn of it."""
    drain_timeout: Annotated[int, "SECONDS"] = 30
    """For requests in flight to finish when stopping."""
    state_file: File | None = None
    """While ready, holds process number and address."""
    grpc_port: Port = DEFAULT_GRPC_PORT
    """Of KServe v2 over gRPC; 0: none.

    On the same host and with the same certificate."""

    workers: Count = 1
    """Processes that share ports, limits and metrics."""

    @property
    def grpc(self) -> GRPCListening | None:
        """The port for gRPC; None without one."""
        if not self.grpc_port:
            return None
        return GRPCListening(self.host, self.grpc_port, self.certificate, self.certificate_key)


def serve(settings: GatewaySettings, listening: Listening) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first. Must run on the main thread.

    Raises:
        CommandError: it cannot start.
    """
    if listening.workers > 1:
        from vfnet_gateway.workers.supervising import serve_with_workers  # it imports this module

        serve_with_workers(settings, listening, _listen(listening))
        return
    gateway = Gateway(settings)
    listener = _listen(listening)
    asyncio.run(GatewayServer(gateway, listening, listener).run())


class GatewayServer(uvicorn.Server):
    """One process of a gateway.

    Args:
        shares_ports: others serve the same ports, and who has started them says where.
    """

    def __init__(
        self, gateway: Gateway, listening: Listening, listener: socket.socket, *, shares_ports: bool = False
    ) -> None:
        self._gateway, self._listening, self._listener = gateway, listening, listener
        self._shares_ports = shares_ports
        config = uvicorn.Config(
            gateway,
            http=connection_protocol(gateway.settings),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=listening.drain_timeout,
        )
        config.load()
        config.ssl = tls_context(listening)
        super().__init__(config)

    async def run(self) -> None:  # type: ignore[override]
        """Until a signal says stop."""
        _log_as_json(self._gateway.log)
        settings, grpc_listening = self._gateway.settings, self._listening.grpc
        if grpc_listening is not None:
            self._gateway.grpc_server = GRPCServer(
                grpc_listening, settings.max_message_bytes, settings.header_timeout, shares_port=self._shares_ports
            )
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        await self.serve(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it listens, once it does."""
        await super().startup(sockets)
        if self.started:
            self.tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM lets callers learn of it first; a second signal, or Ctrl-C, does not."""
        leaving = self._gateway.leaving
        if sig != signal.SIGTERM or leaving.has_begun or not self._listening.lame_duck:
            leaving.has_begun = True
            super().handle_exit(sig, frame)
            return
        leaving.has_begun = True
        self._gateway.log.note("INFO", f"not ready any more, and serving on for {self._listening.lame_duck:g} s")
        asyncio.get_running_loop().call_later(self._listening.lame_duck, super().handle_exit, sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish what is in flight."""
        self._gateway.log.note("INFO", "stopping: finishing what is in flight")
        if self._listening.state_file is not None and not self._shares_ports:
            self._listening.state_file.unlink(missing_ok=True)
        if self._gateway.grpc_server is not None:
            self._gateway.grpc_server.stop(self._listening.drain_timeout)
        await super().shutdown(sockets)
        self._gateway.log.note("INFO", "stopped")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals without sending them to ourselves again in the end: stopping when told to is a success."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def _reload(self) -> None:
        self._gateway.keys.reload()
        if self._gateway.review_keys is not None:
            self._gateway.review_keys.reload()
        if self.config.ssl is not None:
            try:
                _load_certificate(self.config.ssl, self._listening)
                if self._gateway.grpc_server is not None:
                    self._gateway.grpc_server.reload()
            except CommandError as error:
                self._gateway.log.note("ERROR", f"{error}; the one known is used on")

    def tell(self) -> None:
        """Where it listens, once it does."""
        tell_where(self._gateway.log, self._gateway.keys, self._gateway.settings, self._listening, self._listener)


def tell_where(
    log: AccessLog, keys: KeyRing, settings: GatewaySettings, listening: Listening, listener: socket.socket
) -> None:
    """Where a gateway listens and who may ask it, in the log, and in the state file, if there is to be one."""
    host, port = listener.getsockname()[:2]
    scheme = "http" if listening.certificate is None else "https"
    address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    grpc_address = None if listening.grpc is None else listening.grpc.address
    both = address if grpc_address is None else f"{address} and {grpc_address}"
    servers = ", ".join(server_urls(settings.server))
    log.note("INFO", f"listening on {both} for Triton at {servers}")
    if settings.capture.store is not None:
        reviewed = ", to be corrected at /review/" if settings.has_review else ""
        log.note("INFO", f"keeps images that it answers in {settings.capture.store}{reviewed}")
    if keys.is_open:
        log.note("WARNING", "no keys are configured: anyone who reaches this address is served")
    else:
        log.note("INFO", f"{len(keys)} keys are valid")
    if keys.others_may_read_the_file():
        file = settings.keys_file
        log.note("WARNING", f"other accounts can read or change the keys in {file}: chmod 600 it")
    if listening.state_file is not None:
        state: dict[str, object] = {
            "pid": os.getpid(),
            "identity": process_identity(os.getpid()),
            "address": address,
        }
        if grpc_address is not None:
            state["grpc_address"] = grpc_address
        state["stop_timeout"] = listening.lame_duck + listening.drain_timeout + 20
        try:
            write_whole(listening.state_file, json.dumps(state).encode() + b"\n")
        except OSError as error:  # a full disk, say: it serves all the same
            log.note("WARNING", f"{listening.state_file} could not be written: {error.strerror}")


def _listen(listening: Listening) -> socket.socket:
    if (given := inherited_listener()) is not None:  # bound there by who starts this again when it has ended
        return given
    try:
        return listen(listening.host, listening.port)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {listening.host} port {listening.port} ({error.strerror}): choose another with --port"
        ) from error


def tls_context(listening: Listening) -> ssl.SSLContext | None:
    """Of the certificate; None without one. Raises CommandError: it cannot be used."""
    if listening.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, listening)
    return context


def _load_certificate(context: ssl.SSLContext, listening: Listening) -> None:
    assert listening.certificate is not None
    try:
        context.load_cert_chain(listening.certificate, listening.certificate_key)
    except OSError as error:  # ssl.SSLError is one
        raise CommandError(f"cannot use the certificate {listening.certificate}: {error}") from error


def _log_as_json(log: AccessLog) -> None:
    """What uvicorn, asyncio, gRPC and others have to say, in the log's own form; their information is ours already."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.note(record.levelname, record.getMessage())

    logging.getLogger().handlers = [Handler(logging.WARNING)]
    logging.captureWarnings(True)  # Python's, which would be lines of plain text
