"""Callers over HTTP that cost next to nothing themselves: kept connections, prepared requests."""

from __future__ import annotations

import asyncio
import re

from vfnet_load.http_requests import HTTPRequest

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HTTPCallers:
    """Any number of one server, each call on a connection of its own. To be used by one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[Connection] = []

    def prepare(self, request: HTTPRequest) -> bytes:
        """The whole of it, head and body."""
        headers = {"host": self._host, "content-length": str(len(request.body)), **request.headers}
        fields = [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([f"POST {request.path} HTTP/1.1", *fields, "", ""]).encode() + request.body

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of the answer to a prepared request."""
        while (
            self._idle and self._idle[-1][0].at_eof()
        ):  # which the server has closed, because nothing came for a while
            self._idle.pop()[1].close()
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        self._idle.append(connection)
        return int(head.split(None, 2)[1]), body

    async def call(self, request: bytes) -> None:
        """A prepared request and its answer.

        Raises:
            RuntimeError: the answer is not a 200.
        """
        status, body = await self.ask(request)
        if status != 200:
            raise RuntimeError(f"{status}: {body[:200].decode(errors='replace')}")

    async def close(self) -> None:
        """Give the connections back."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()
