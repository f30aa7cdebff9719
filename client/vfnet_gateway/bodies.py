"""Reads a request's body: to a limit, in time, and only while there is room for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.types import Receive

from vfnet_client.exceptions import RequestError
from vfnet_gateway.byte_budget import ByteBudget
from vfnet_gateway.settings import GatewaySettings

_SECONDS_TO_HEAR_OUT = 5.0


class ClientGoneError(Exception):
    """Nobody is there to answer any more."""


class BodyReader:
    """All bodies of the gateway, against one budget."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.budget = ByteBudget(settings.max_held_bytes)

    @asynccontextmanager
    async def reading(self, headers: Headers, receive: Receive) -> AsyncIterator[bytearray]:
        """The whole body; its room in the budget is kept while in the context.

        Raises:
            RequestError: 413 for too large a body, 408 for too slow a one, 400 for a nonsensical Content-Length.
            ServerBusyError: no room in time.
            ClientGoneError: it left before all had arrived.
        """
        announced = self._announced_size(headers)
        if announced > self.settings.max_body_bytes:
            await self.refuse_unread(headers, receive)
            raise self._too_large()
        # Of a body without a length all that may come is reserved.
        size = announced if "content-length" in headers else self.settings.max_body_bytes
        async with self.budget.hold(size, self.settings.queue_timeout):
            yield await self._read(receive)

    async def refuse_unread(self, headers: Headers, receive: Receive) -> None:
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

    def _announced_size(self, headers: Headers) -> int:
        text = headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise RequestError(400, "Content-Length is not a number")
        return int(text)

    def _too_large(self) -> RequestError:
        limit = self.settings.max_body_bytes
        return RequestError(413, f"the body is larger than the {limit} bytes allowed; send fewer images at a time")

    async def _read(self, receive: Receive) -> bytearray:
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                while True:
                    async with asyncio.timeout(self.settings.body_idle_timeout):
                        message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    body += message.get("body", b"")
                    if len(body) > self.settings.max_body_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return body
        except TimeoutError as error:
            raise RequestError(408, "the body did not arrive in time") from error
