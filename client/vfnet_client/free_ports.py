"""Ports for servers that a benchmark or a test starts for itself."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on, and that nobody else is given for the next minute.

    A connection that was closed on a port leaves it in TIME_WAIT: Linux then chooses it for no one, but who asks for it
    by number with SO_REUSEADDR, as servers do, gets it (the way of Yelp's ephemeral-port-reserve).
    """
    return [_reserved_port() for _ in range(count)]


def _reserved_port() -> int:
    with socket.socket() as listener, socket.socket() as caller:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        caller.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.close()  # first: who closes first waits
        port: int = listener.getsockname()[1]
        return port
