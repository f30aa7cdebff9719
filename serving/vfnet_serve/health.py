"""Three questions about a server that `vfnet serve` watches, answered by what it knows, and not by Triton.

Triton goes on saying that it is ready when a model's process has died (2.51), and while it is about to be stopped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vfnet_serve.installation import ServerError
from vfnet_supervision.listening import listen

_STUCK_S = 30.0
"""Without a look at the server, which is due ten times a second, `vfnet serve` itself hangs."""
_HEAD_S, _LARGEST_HEAD = 3.0, 8 << 10
_MOST_CONNECTIONS = 128


@dataclass
class ServerHealth:
    """What is known; written by the thread that watches, read by any."""

    has_started: bool = False
    """Whether it was ready once."""
    fault: str | None = "Triton is starting"
    """Why an image that is sent now would not be answered; None: it would."""
    leaves_at: float | None = None
    """When it stops (monotonic seconds), once it has been told to."""
    looked_at: float | None = None
    """When the server was last looked at (monotonic seconds); None: it is not being watched just now."""

    def what_kills(self) -> str | None:
        """Liveness: why starting `vfnet serve` again would help; None: it would not.

        A Triton or a model that was lost is no reason: those are being started again.
        """
        looked_at = self.looked_at
        if looked_at is not None and time.monotonic() - looked_at > _STUCK_S:
            return f"the server was not looked at for {_STUCK_S:g} s"
        return None

    def what_turns_away(self) -> str | None:
        """Readiness: why images are better sent elsewhere; None: they are welcome."""
        return "it is stopping" if self.leaves_at is not None else self.what_kills() or self.fault

    def what_is_awaited(self) -> str | None:
        """Start-up: why nothing else need be asked yet; None: it has been ready, and this stays so."""
        return None if self.has_started else self.fault or "Triton is starting"

    def answers_to(self, path: str) -> tuple[int, str]:
        """HTTP's status and a line for one of the three paths."""
        ask = {"/livez": self.what_kills, "/readyz": self.what_turns_away, "/startupz": self.what_is_awaited}.get(path)
        if ask is None:
            return 404, "there are /livez, /readyz and /startupz"
        reason = ask()
        return (200, "ok") if reason is None else (503, reason)


@contextmanager
def answering(health: ServerHealth, host: str, port: int) -> Iterator[None]:
    """Answer GET there while in the context, from a thread; port 0: nowhere.

    Raises:
        ServerError: another program listens there, or the address is none of this machine's.
    """
    if not port:
        yield
        return
    try:
        listener = listen(host, port)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another with --health-port or "
            "--health-host"
        ) from None
    loop = asyncio.new_event_loop()
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            if connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_response(health, head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            connections -= 1
            writer.close()

    loop.run_until_complete(asyncio.start_server(answer, sock=listener, limit=_LARGEST_HEAD))
    thread = threading.Thread(target=loop.run_forever, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listener.close()
        loop.close()


def _response(health: ServerHealth, head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("ascii", "replace")
    status, line = health.answers_to(path) if method in (b"GET", b"HEAD") else (405, "only GET")
    body = f"{line}\n".encode()
    lines = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}",
        "content-type: text/plain; charset=utf-8",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == b"HEAD" else body)
