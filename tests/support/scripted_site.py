"""An HTTP/1.1 site that answers with the very bytes a test gives it, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

Script: TypeAlias = "bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]"
"""All bytes of an answer, or what writes them."""


@dataclass
class ScriptedSite:
    """A running site and what it was asked."""

    host: str
    port: int
    requests: list[str] = field(default_factory=list)
    """Heads of requests, in the order of their arrival."""
    connections: int = 0

    def url(self, path: str, host: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"


def answer(body: bytes, *headers: str, status: str = "200 OK", media_type: str | None = "image/png") -> bytes:
    """A whole answer that tells the truth about its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """An answer that sends elsewhere."""
    return answer(b"", f"Location: {location}", status=status, media_type=None)


@asynccontextmanager
async def scripted_site(
    scripts: Mapping[str, Script], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedSite]:
    """Serve `scripts`, by path, on a free port while in the context. A path that has none is a 404."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                site.requests.append(head)
                script = scripts.get(head.split()[1], answer(b"", status="404 Not Found"))
                if isinstance(script, bytes):
                    writer.write(script)
                else:
                    await script(writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(converse, host, 0, ssl=tls)
    site = ScriptedSite(host, server.sockets[0].getsockname()[1])
    try:
        yield site
    finally:
        server.close()
