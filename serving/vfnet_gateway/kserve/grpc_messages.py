"""Reads a call's message: in time, to a limit, and only while there is room for it.

gRPC hands a message over when it is whole, and says nothing of it before. So room for an ordinary photo is taken from
the budget of all bodies before the message is read, and what it needs beside that when it is there. While others wait
for room, whoever has been sending for longer than `_GRACE_S` is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc.aio

from vfnet_client.exceptions import RequestError, ServerBusyError
from vfnet_gateway.bodies import BodyReader, ClientGoneError
from vfnet_gateway.request_record import RequestRecord

_ORDINARY_BYTES = 4 << 20
_GRACE_S, _LOOK_EVERY_S = 2.0, 0.5
_MOST_STREAMS = 16
"""At once: they wait for their next message without room that was taken for it."""
_STREAM_IDLE_S = 300.0


class MessageReader:
    """All messages of the gRPC port, against the budget of the gateway's bodies."""

    def __init__(self, bodies: BodyReader, max_bytes: int) -> None:
        self._budget, self._settings, self._max_bytes = bodies.budget, bodies.settings, max_bytes
        self._streams = 0

    @asynccontextmanager
    async def reading(self, context: grpc.aio.ServicerContext, record: RequestRecord) -> AsyncIterator[bytes]:
        """A call's message; its room in the budget is kept while in the context.

        Raises:
            RequestError: 413 for too large a message, 408 for too slow a one, 400 where there is none.
            ServerBusyError: no room in time.
            ClientGoneError: it left.
        """
        ordinary = min(_ORDINARY_BYTES, self._max_bytes)
        async with self._budget.hold() as holding:
            await holding.grow(ordinary, self._settings.queue_timeout)
            holding.finish()  # it is all there or not at all, so that it keeps nobody waiting as the oldest
            message = await self._next(context, self._settings.body_idle_timeout)
            if message is None:
                raise RequestError(400, "the call has no message")
            self._look_at(message, record)
            if len(message) > ordinary:
                await holding.grow(len(message) - ordinary, self._settings.queue_timeout)
            yield message

    @asynccontextmanager
    async def reading_in_stream(
        self, context: grpc.aio.ServicerContext, record: RequestRecord
    ) -> AsyncIterator[bytes | None]:
        """A stream's next message, None after the last; room is taken when it is there. Raises as `reading` does."""
        message = await self._next(context, _STREAM_IDLE_S)
        if message is None:
            yield None
            return
        self._look_at(message, record)
        async with self._budget.hold() as holding:
            await holding.grow(len(message), self._settings.queue_timeout)
            yield message

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A place among the streams while in the context.

        Raises:
            ServerBusyError: there are too many.
        """
        if self._streams >= _MOST_STREAMS:
            raise ServerBusyError("too many streams")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def _look_at(self, message: bytes, record: RequestRecord) -> None:
        record.bytes_in += len(message)
        record.stages["read"] = record.seconds()
        if len(message) > self._max_bytes:
            raise RequestError(413, f"the message has {len(message)} bytes, more than the {self._max_bytes} allowed")

    async def _next(self, context: grpc.aio.ServicerContext, within: float) -> bytes | None:
        # A read that is cancelled while gRPC's core is at it leaves the core a buffer that is gone: it is left to end
        # with its call instead.
        reading = asyncio.ensure_future(context.read())
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        pause = min(_GRACE_S, within)
        while not reading.done() and within > 0:
            await asyncio.wait({reading}, timeout=pause)
            within -= pause
            if self._budget.is_wanted:
                break
            pause = min(_LOOK_EVERY_S, within)
        if not reading.done():
            raise RequestError(408, "the request did not arrive in time")
        try:
            message = reading.result()
        except Exception as error:
            raise ClientGoneError from error
        return None if message is grpc.aio.EOF else bytes(message)
