"""Messages between a worker and who started it: lists of JSON, one a line, over a pair of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson

_LARGEST_MESSAGE = 1 << 20


class Link:
    """One end. To be used by one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def of(cls, end: socket.socket) -> Link:
        """Over this socket, which it closes."""
        return cls(*await asyncio.open_connection(sock=end, limit=_LARGEST_MESSAGE))

    def send(self, *message: Any) -> None:
        """Without waiting: both ends read all the time, and what may be under way is bounded by the places."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def messages(self) -> AsyncIterator[list[Any]]:
        """Until the other end is closed, be it by the end of its process."""
        with contextlib.suppress(OSError):
            while line := await self._reader.readline():
                yield orjson.loads(line)

    def close(self) -> None:
        """The other end reads no more after what was sent."""
        self._writer.close()
