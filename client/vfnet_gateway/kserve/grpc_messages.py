"""Reads a call's message: in time, to a limit, and only while there is room for it.

gRPC hands a message over when it is whole, and says nothing of it before. So room for an ordinary photo is taken from
the budget of all bodies before the message is read, and what it needs beside that when it is there. While others want
room, the calls that have been sending for longest lose theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from time import monotonic

import grpc.aio

from vfnet_client.exceptions import RequestError, ServerBusyError
from vfnet_gateway.bodies import BodyReader, ClientGoneError
from vfnet_gateway.exchange import Exchange

_ORDINARY_BYTES = 4 << 20
_GRACE_S = 2.0
"""For which a message may take its time although others want its room."""
_MOST_STREAMS = 16
"""That may keep a message coming without room that was taken for it."""
_STREAM_IDLE_S = 300.0


class MessageReader:
    """All messages of the gRPC port, against the budget of the gateway's bodies."""

    def __init__(self, bodies: BodyReader, max_bytes: int) -> None:
        self._bodies, self._max_bytes = bodies, max_bytes
        self._reading: dict[asyncio.Future[None], float] = {}
        """Those that are being read, oldest first: what tells them to give up, and since when."""
        self._streams = 0

    @asynccontextmanager
    async def reading(self, context: grpc.aio.ServicerContext, exchange: Exchange) -> AsyncIterator[bytes]:
        """A call's message; its room in the budget is kept while in the context.

        Raises:
            RequestError: 413 for too large a message, 408 for too slow a one, 400 where there is none.
            ServerBusyError: no room in time.
            ClientGoneError: it left.
        """
        budget, settings = self._bodies.budget, self._bodies.settings
        ordinary = min(_ORDINARY_BYTES, self._max_bytes)
        async with AsyncExitStack() as held:
            self._make_room(ordinary)
            await held.enter_async_context(budget.hold(ordinary, settings.queue_timeout))
            with self._listed() as told_to_give_up:
                message = await _next(context, settings.body_idle_timeout, told_to_give_up)
            if message is None:
                raise RequestError(400, "the call has no message")
            self._look_at(message, exchange)
            if len(message) > ordinary:
                await held.enter_async_context(budget.hold(len(message) - ordinary, settings.queue_timeout))
            yield message

    @asynccontextmanager
    async def reading_in_stream(
        self, context: grpc.aio.ServicerContext, exchange: Exchange
    ) -> AsyncIterator[bytes | None]:
        """A stream's next message, None after the last; room is taken when it is there. Raises as `reading` does."""
        message = await _next(context, _STREAM_IDLE_S, asyncio.get_running_loop().create_future())
        if message is None:
            yield None
            return
        self._look_at(message, exchange)
        async with self._bodies.budget.hold(len(message), self._bodies.settings.queue_timeout):
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

    def _look_at(self, message: bytes, exchange: Exchange) -> None:
        exchange.bytes_in += len(message)
        exchange.stages["read"] = exchange.seconds()
        if len(message) > self._max_bytes:
            raise RequestError(413, f"the message has {len(message)} bytes, more than the {self._max_bytes} allowed")

    def _make_room(self, size: int) -> None:
        budget, now = self._bodies.budget, monotonic()
        missing = budget.held + size - budget.capacity
        for told_to_give_up, since in self._reading.items():
            if missing <= 0 or now - since < _GRACE_S:
                return
            if not told_to_give_up.done():
                told_to_give_up.set_result(None)
                missing -= size

    @contextmanager
    def _listed(self) -> Iterator[asyncio.Future[None]]:
        told_to_give_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading[told_to_give_up] = monotonic()
        try:
            yield told_to_give_up
        finally:
            del self._reading[told_to_give_up]


async def _next(
    context: grpc.aio.ServicerContext, within: float, told_to_give_up: asyncio.Future[None]
) -> bytes | None:
    # A read that is cancelled while gRPC's core is at it leaves the core a buffer that is gone: it is left to end with
    # its call instead.
    reading = asyncio.ensure_future(context.read())
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({reading, told_to_give_up}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    if not reading.done():
        raise RequestError(408, "the request did not arrive in time")
    try:
        message = reading.result()
    except Exception as error:
        raise ClientGoneError from error
    return None if message is grpc.aio.EOF else bytes(message)
