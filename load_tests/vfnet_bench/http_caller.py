"""A caller over HTTP that costs next to nothing itself: one kept connection, prepared requests."""

from __future__ import annotations

import asyncio
import re
from typing import Self

from vfnet_load.http_requests import HTTPRequest

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class HTTPCaller:
    """One caller; to be used by one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """A connection."""
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of the answer to a whole request, head and body."""
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(None, 2)[1]), body

    async def call(self, request: bytes) -> None:
        """One request and its answer.

        Raises:
            RuntimeError: the answer is not a 200.
        """
        status, body = await self.ask(request)
        if status != 200:
            raise RuntimeError(f"{status}: {body[:200].decode(errors='replace')}")

    async def close(self) -> None:
        """Give the connection back."""
        self._writer.close()
        await self._writer.wait_closed()


def post(host: str, request: HTTPRequest) -> bytes:
    """The whole of it, head and body."""
    headers = {"host": host, "content-length": str(len(request.body)), **request.headers}
    fields = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"POST {request.path} HTTP/1.1", *fields, "", ""]).encode() + request.body
