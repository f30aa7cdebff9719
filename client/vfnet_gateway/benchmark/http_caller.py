"""A caller of /score that costs next to nothing itself: one kept connection, one prepared request."""

from __future__ import annotations

import asyncio
import re
from typing import Self

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class HTTPCaller:
    """One caller; to be used by one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader, self._writer, self._request = reader, writer, request

    @classmethod
    async def connect(cls, host: str, port: int, body: bytes) -> Self:
        """A connection that will send `body` to /score."""
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST /score HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        return cls(reader, writer, head.encode() + b"\r\n\r\n" + body)

    async def call(self) -> None:
        """One request and its answer.

        Raises:
            RuntimeError: the answer is not a 200.
        """
        self._writer.write(self._request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:200].decode(errors='replace')}")

    async def close(self) -> None:
        """Give the connection back."""
        self._writer.close()
        await self._writer.wait_closed()
