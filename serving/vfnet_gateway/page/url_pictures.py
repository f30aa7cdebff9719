"""An image by URL for the page to draw on: a browser may not read it from its own host."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive

from vfnet_client.exceptions import InvalidImageError, RequestError

Fetch = Callable[[str], Awaitable[bytes]]
"""From a URL to the bytes of an image; raises `InvalidImageError`. Keeps the rules of URL images."""
CheckKey = Callable[[str | None], None]
"""Takes the Authorization header; raises `RequestError` 401 where a key is needed and not there."""
_LONGEST_BODY = 16 << 10


class Bodies(Protocol):
    """How a body is read: `vfnet_gateway.bodies.BodyReader`."""

    def reading(
        self, headers: Mapping[str, str], receive: Receive, *, most: int | None = None
    ) -> AbstractAsyncContextManager[bytearray]:
        """The whole body of at most `most` bytes, in time."""
        ...


def url_picture_route(fetch: Fetch, check_key: CheckKey | None, bodies: Bodies) -> Route:
    """`POST /ui/picture` with `{"url": ...}`: the image's bytes, to be read by the page and by nothing else."""

    async def answer(request: Request) -> Response:
        if check_key is not None:
            check_key(request.headers.get("authorization"))
        # What a page of another origin cannot send without being asked for leave, which nobody gives.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "Expects Content-Type to be application/json")
        async with bodies.reading(request.headers, request.receive, most=_LONGEST_BODY) as body:
            url = _url_in(bytes(body))
        try:
            image = await fetch(url)
        except InvalidImageError as error:
            raise RequestError(InvalidImageError.status, str(error)) from error
        headers = {
            "cache-control": "no-store",
            "content-disposition": "attachment",
            "content-security-policy": "sandbox; default-src 'none'",
            "x-content-type-options": "nosniff",
        }
        return Response(image, media_type="application/octet-stream", headers=headers)

    return Route("/ui/picture", answer, methods=["POST"])


def _url_in(body: bytes) -> str:
    try:
        url = json.loads(body)["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        url = None
    if not isinstance(url, str):
        raise RequestError(400, 'expected {"url": "https://..."}')
    return url
