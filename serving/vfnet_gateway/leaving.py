"""Work for a client that may leave before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from vfnet_gateway.bodies import ClientGoneError

T = TypeVar("T")


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
