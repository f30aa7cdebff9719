"""The socket on which a gateway is reached, whether it binds it itself or its supervisor does."""

from __future__ import annotations

import socket

_BACKLOG = 2048


def family_of(host: str) -> socket.AddressFamily:
    """IPv6 for an address with colons."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen.

    Raises:
        OSError: another program listens there, or the address is none of this machine's.
    """
    # The protocol is named, because asyncio turns Nagle's algorithm off only for sockets that name it; with it on, an
    # answer's body waits 40 ms for the client's delayed acknowledgement of its head.
    listener = socket.socket(family_of(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
