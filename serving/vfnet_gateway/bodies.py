"""What arrives of a request: its body, to a limit, in time, while there is room for it; then that its client leaves.

All bodies share one `ByteBudget`, those of the gRPC port too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Message, Receive

from vfnet_client.bounded_gzip import GzipDecoder, GzipError
from vfnet_client.byte_sizes import shown_bytes
from vfnet_client.exceptions import RequestError, ServerBusyError
from vfnet_client.safe_text import printable_line
from vfnet_gateway.settings import GatewaySettings

T = TypeVar("T")
SMALL = 1 << 20
"""Bytes of a body for which a part of the budget is kept."""
_SECONDS_TO_HEAR_OUT = 5.0
_GZIP = ("gzip", "x-gzip")
_HURRY = 8
"""Times `min_body_rate` that a body has to arrive with while others wait for room."""


class ClientGoneError(Exception):
    """Nobody is there to answer any more."""


class BodyReader:
    """All bodies of the gateway, against one budget. Any route may use it."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.budget = ByteBudget(settings.max_held_bytes)

    @asynccontextmanager
    async def reading(
        self, headers: Mapping[str, str], receive: Receive, *, most: int | None = None
    ) -> AsyncIterator[bytearray]:
        """The whole body, unpacked where it is gzip; its room in the budget is kept while in the context.

        Args:
            most: bytes accepted, packed and unpacked, where that is less than `max_body_bytes`.

        Raises:
            RequestError: 413 for too large a body, 408 for too slow a one, 400 for a nonsensical Content-Length or
                damaged gzip, 415 for another encoding.
            ServerBusyError: no room in time.
            ClientGoneError: it left before all had arrived.
        """
        limit = self.settings.max_body_bytes if most is None else min(most, self.settings.max_body_bytes)
        if self._announced_size(headers) > limit:
            await self.refuse_unread(headers, receive)
            raise _too_large(limit)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", *_GZIP):
            await self.refuse_unread(headers, receive)
            raise RequestError(
                415, f"Content-Encoding {printable_line(encoding, 40)} is not read: send gzip, or no encoding"
            )
        async with self.budget.hold() as holding:
            body = await self._read(receive, holding, limit, GzipDecoder() if encoding in _GZIP else None)
            holding.finish()
            yield body

    async def refuse_unread(self, headers: Mapping[str, str], receive: Receive) -> None:
        """Hear a client out for a while before it is refused: most read the answer only when they have sent all."""
        if headers.get("expect", "").lower() == "100-continue":
            return  # this one asks before it sends
        left = 2 * self.settings.max_body_bytes
        try:
            async with asyncio.timeout(_SECONDS_TO_HEAR_OUT):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    def _announced_size(self, headers: Mapping[str, str]) -> int:
        text = headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise RequestError(400, "Content-Length is not a number")
        return int(text)

    async def _read(
        self, receive: Receive, holding: Holding, limit: int, decoder: GzipDecoder | None = None
    ) -> bytearray:
        body, arrived = bytearray(), 0
        rate = _ArrivalRate(self.settings, self.budget)
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                while True:
                    message = await rate.next(receive)
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    piece = message.get("body", b"")
                    arrived += len(piece)
                    if arrived > limit:
                        raise _too_large(limit)
                    waited = 0.0
                    for part in decoder.feed(piece) if decoder is not None else (piece,) if piece else ():
                        if len(body) + len(part) > limit:
                            raise _too_large(limit)
                        waits_from = monotonic()
                        await holding.grow(len(part), self.settings.queue_timeout)
                        waited += monotonic() - waits_from
                        body += part
                        if decoder is not None:  # a few bytes can be a mebibyte, which takes milliseconds
                            await asyncio.sleep(0)
                    rate.arrived(len(piece), waited=waited)
                    if not message.get("more_body", False):
                        if decoder is not None:
                            decoder.finish()
                        return body
        except GzipError as error:
            raise RequestError(400, f"the body's Content-Encoding is gzip, and it is {error}") from error
        except TimeoutError as error:
            raise RequestError(408, "the body did not arrive in time") from error


class _ArrivalRate:
    """Whether a body arrives fast enough, looked at once every `body_idle_timeout`."""

    def __init__(self, settings: GatewaySettings, budget: ByteBudget) -> None:
        self._window, self._least, self._budget = settings.body_idle_timeout, settings.min_body_rate, budget
        self._since, self._bytes = monotonic(), 0

    async def next(self, receive: Receive) -> Message:
        """What arrives next.

        Raises:
            TimeoutError: nothing does, or too little did.
        """
        async with asyncio.timeout(self._window):
            message = await receive()
        elapsed = monotonic() - self._since
        if elapsed >= self._window:
            hurry = _HURRY if self._budget.is_wanted else 1
            if self._bytes < self._least * hurry * elapsed and message.get("more_body", False):
                raise TimeoutError
            self._since, self._bytes = monotonic(), 0
        return message

    def arrived(self, size: int, *, waited: float) -> None:
        """So much was taken, after `waited` seconds without room that are not the client's."""
        self._bytes += size
        self._since += waited


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than the {shown_bytes(limit)} allowed; send fewer images at a time")


class ByteBudget:
    """Room for what has arrived of bodies, first come, first served: whoever wants more while there is none waits.

    What a body announces takes no room, so that a few that announce much and send little lock out nobody. A quarter is
    kept for the first `SMALL` bytes of each, so that large bodies do not lock out small ones. The oldest body that is
    being read does not wait for those that came after it, or all could wait for each other: by one body at most the
    capacity is exceeded.

    So it is no `FairBudget`, of whose parts each is taken at once, whole and strictly in turn.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self._reading: dict[Holding, None] = {}
        """In the order in which they came."""
        self._waiting: deque[tuple[Holding, int, asyncio.Future[None]]] = deque()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Holding]:
        """Room that grows, and is given back at the end of the context."""
        holding = Holding(self)
        self._reading[holding] = None
        try:
            yield holding
        finally:
            self._reading.pop(holding, None)
            self.held -= holding.size
            holding.size = 0
            self._serve()

    async def grow(self, holding: Holding, size: int, patience: float) -> None:
        """See `Holding.grow`."""
        if not self._waiting and self._fits(holding, size):
            self._take(holding, size)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (holding, size, waiter)
        self._waiting.append(entry)
        self._serve()  # the oldest does not wait behind the others
        try:
            async with asyncio.timeout(patience):
                await waiter
        except BaseException as error:
            # What came at the same moment is given back with the rest of the holding.
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._serve()  # a smaller one behind may fit
            if isinstance(error, TimeoutError):
                raise ServerBusyError("the gateway holds as many bodies as it may; try again a little later") from error
            raise

    def finish(self, holding: Holding) -> None:
        """See `Holding.finish`."""
        self._reading.pop(holding, None)
        self._serve()

    def _fits(self, holding: Holding, size: int) -> bool:
        if self.held == holding.size:  # nobody else is here
            return True
        is_small = holding.size + size <= SMALL
        if self.held + size <= (self.capacity if is_small else self.capacity - self.capacity // 4):
            return True
        oldest = next(iter(self._reading), None)
        return oldest is holding and sum(other.size for other in self._reading) > holding.size

    def _take(self, holding: Holding, size: int) -> None:
        self.held += size
        holding.size += size

    def _serve(self) -> None:
        oldest = next(iter(self._reading), None)
        for entry in [entry for entry in self._waiting if entry[0] is oldest]:
            if self._fits(*entry[:2]):
                self._waiting.remove(entry)
                self._let(*entry)
        while self._waiting and self._fits(*self._waiting[0][:2]):
            self._let(*self._waiting.popleft())

    def _let(self, holding: Holding, size: int, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._take(holding, size)
            waiter.set_result(None)


class Holding:
    """The room of one body."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size = 0

    async def grow(self, size: int, patience: float) -> None:
        """Room for `size` bytes more.

        Raises:
            ServerBusyError: there was none within `patience` seconds.
        """
        await self._budget.grow(self, size, patience)

    def finish(self) -> None:
        """All has arrived: another body is the oldest that is being read."""
        self._budget.finish(self)


async def unless_gone(request: Request, coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns; when the client leaves first, it is cancelled.

    Raises:
        ClientGoneError: the client left.
    """
    work = asyncio.create_task(coroutine)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGoneError
        return work.result()
    finally:
        leaving.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
