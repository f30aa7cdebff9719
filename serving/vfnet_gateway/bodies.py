"""Reads a request's body: to a limit, in time, and only while there is room for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from starlette.types import Message, Receive

from vfnet_client.exceptions import RequestError
from vfnet_gateway.byte_budget import ByteBudget, Holding
from vfnet_gateway.settings import GatewaySettings

_SECONDS_TO_HEAR_OUT = 5.0
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
        """The whole body; its room in the budget is kept while in the context.

        Args:
            most: bytes accepted, where that is less than `max_body_bytes`.

        Raises:
            RequestError: 413 for too large a body, 408 for too slow a one, 400 for a nonsensical Content-Length.
            ServerBusyError: no room in time.
            ClientGoneError: it left before all had arrived.
        """
        limit = self.settings.max_body_bytes if most is None else min(most, self.settings.max_body_bytes)
        if self._announced_size(headers) > limit:
            await self.refuse_unread(headers, receive)
            raise _too_large(limit)
        async with self.budget.hold() as holding:
            body = await self._read(receive, holding, limit)
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

    async def _read(self, receive: Receive, holding: Holding, limit: int) -> bytearray:
        body = bytearray()
        rate = _ArrivalRate(self.settings, self.budget)
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                while True:
                    message = await rate.next(receive)
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    piece = message.get("body", b"")
                    if len(body) + len(piece) > limit:
                        raise _too_large(limit)
                    if piece:
                        waits_from = monotonic()
                        await holding.grow(len(piece), self.settings.queue_timeout)
                        rate.arrived(len(piece), waited=monotonic() - waits_from)
                        body += piece
                    if not message.get("more_body", False):
                        return body
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
    return RequestError(413, f"the body is larger than the {limit} bytes allowed; send fewer images at a time")
