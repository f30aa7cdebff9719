"""An image by URL for the page to draw on: a browser may not read it from its own host."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vfnet_client.exceptions import InvalidImageError, RequestError

Fetch = Callable[[str], Awaitable[bytes]]
"""From a URL to the bytes of an image; raises `InvalidImageError`. Keeps the rules of URL images."""
CheckKey = Callable[[str | None], None]
"""Takes the Authorization header; raises `RequestError` 401 where a key is needed and not there."""
_LONGEST_BODY = 16 << 10


def url_picture_route(fetch: Fetch, check_key: CheckKey | None) -> Route:
    """`POST /ui/picture` with `{"url": ...}`: the image's bytes, to be read by the page and by nothing else."""

    async def answer(request: Request) -> Response:
        if check_key is not None:
            check_key(request.headers.get("authorization"))
        # What a page of another origin cannot send without being asked for leave, which nobody gives.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "Expects Content-Type to be application/json")
        try:
            image = await fetch(_url_in(await _short_body(request)))
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


async def _short_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise RequestError(413, f"a URL request has at most {_LONGEST_BODY} bytes")
    return bytes(body)


def _url_in(body: bytes) -> str:
    try:
        url = json.loads(body)["url"]
    except (ValueError, TypeError, KeyError, RecursionError):
        url = None
    if not isinstance(url, str):
        raise RequestError(400, 'expected {"url": "https://..."}')
    return url
