"""HTTP/1.1 connections, bounded in number and time; what two parsers could read in two ways is refused."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import resource
import socket
import struct
import termios
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vfnet_client.contract import error_body
from vfnet_gateway.settings import GatewaySettings

_LOOK_EVERY_S = 1.0
_OTHER_FILES = 256
"""Left of what the process may open to everything but its callers' connections."""
_FREE_PIECES, _LEAST_PIECE = 1000, 64
"""So many pieces a body may come in; beyond them, a piece must have so many bytes on average."""


def connection_protocol(settings: GatewaySettings) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself lets a client take all day over its headers or over reading its answer."""
    limits = _Limits.of(settings)

    class BoundedProtocol(H11Protocol):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.conn = _StrictConnection(h11.SERVER, self.conn._max_incomplete_event_size)
            self._patience: asyncio.TimerHandle | None = None
            self._reading: asyncio.TimerHandle | None = None
            self._peer: str | None = None
            self._unread, self._unread_since = 0, 0.0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._peer = self.client[0] if self.client else ""
            if not limits.admit(self._peer):
                transport.abort()
                return
            self._watch_the_head()
            self._reading = self.loop.call_later(_LOOK_EVERY_S, self._watch_the_reader)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_the_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            if self._reading is not None:
                self._reading.cancel()
            if self._peer is not None:
                limits.leave(self._peer)
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            """As JSON, and nothing where an answer is already on its way."""
            del msg
            body = error_body(Exception("this is not a valid HTTP/1.1 request"))
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            head = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            with contextlib.suppress(h11.LocalProtocolError):
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _watch_the_head(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_watching()
            elif self._patience is None and not self.transport.is_closing():
                self._patience = self.loop.call_later(settings.header_timeout, self._give_up)

        def _give_up(self) -> None:
            self._patience = None
            idle: Any = self.timeout_keep_alive_task  # between requests that timer is the one that counts
            answering = self.cycle is not None and not self.cycle.response_complete
            if idle is None and not answering:
                self.transport.abort()

        def _stop_watching(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _watch_the_reader(self) -> None:
            """Hang up on a client that takes nothing of its answer, also after we have closed our side of it."""
            unread, now = _unread_bytes(self.transport), monotonic()
            if unread == 0 or unread < self._unread or self._unread == 0:
                self._unread_since = now
            self._unread = unread
            if now - self._unread_since >= settings.write_timeout:
                _drop(self.transport)
            self._reading = self.loop.call_later(_LOOK_EVERY_S, self._watch_the_reader)

    return BoundedProtocol


@dataclass
class _Limits:
    """Connections at once, of all callers together and of one address."""

    most: int
    most_of_a_peer: int
    by_peer: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, settings: GatewaySettings) -> _Limits:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = settings.max_connections
        if files != resource.RLIM_INFINITY:
            most = min(most, max(files - _OTHER_FILES, files // 2))
        return cls(most, settings.max_peer_connections)

    def admit(self, peer: str) -> bool:
        """Count one more, whether or not it may stay: `leave` comes for each."""
        self.by_peer[peer] += 1
        return self.by_peer[peer] <= self.most_of_a_peer and self.by_peer.total() <= self.most

    def leave(self, peer: str) -> None:
        self.by_peer[peer] -= 1
        if self.by_peer[peer] <= 0:
            del self.by_peer[peer]


class _StrictConnection(h11.Connection):
    """h11's, which lets a length and chunks through together, and chunks of one byte that cost more than they bring."""

    def __init__(self, role: type[h11.CLIENT | h11.SERVER], max_incomplete_event_size: int) -> None:
        super().__init__(role, max_incomplete_event_size)
        self._pieces = self._piece_bytes = 0

    def next_event(self) -> Any:
        """See `h11.Connection.next_event`."""
        event = super().next_event()
        if type(event) is h11.Data:
            self._pieces += 1
            self._piece_bytes += len(event.data)
            if self._pieces > _FREE_PIECES and self._piece_bytes < _LEAST_PIECE * self._pieces:
                raise h11.RemoteProtocolError("the body comes in pieces of a few bytes", 400)
        elif type(event) is h11.Request:
            self._pieces = self._piece_bytes = 0
            names = {name for name, _ in event.headers}
            if b"content-length" in names and b"transfer-encoding" in names:
                raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding", 400)
        return event


def _drop(transport: asyncio.Transport) -> None:
    """Hang up at once. Without a linger time of zero, the kernel keeps what is unsent, and tries on with it."""
    with contextlib.suppress(OSError, AttributeError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _unread_bytes(transport: asyncio.Transport) -> int:
    """Bytes that were written and not yet acknowledged by the other side; 0 unless some could not be handed over."""
    waiting = transport.get_write_buffer_size()
    if waiting == 0:
        return 0
    try:
        handed_over = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, AttributeError, ValueError):
        return waiting
    return waiting + int(struct.unpack("i", handed_over)[0])
