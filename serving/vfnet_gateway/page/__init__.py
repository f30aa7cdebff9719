"""The page at /ui: plain files, served as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vfnet_gateway.page.url_pictures import Bodies, CheckKey, Fetch, url_picture_route

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Names carry no version, so a browser asks each time; the entity tag makes the answer short.
    "cache-control": "no-cache",
}
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class _Asset:
    content: bytes
    content_type: str
    entity_tag: str


def routes(
    *,
    sample: bytes | None = None,
    fetch: Fetch | None = None,
    check_key: CheckKey | None = None,
    bodies: Bodies | None = None,
) -> list[BaseRoute]:
    """The page under /ui/; /ui redirects there. Routes of the same prefix go before these.

    Args:
        sample: a PNG to offer as the sample; None offers the packaged one.
        fetch: how the gateway gets an image by URL, so that the page can show it; None shows boxes of such images
            without the image.
        check_key: raises `RequestError` unless the Authorization header opens the gateway; guards `fetch` alone.
        bodies: reads what `fetch` is asked for; needed with it.
    """
    found: list[BaseRoute] = [Route("/ui", _to_the_folder)]
    if fetch is not None and bodies is not None:
        found.append(url_picture_route(fetch, check_key, bodies))
    for name, asset in _assets(sample).items():
        endpoint: Callable[[Request], Awaitable[Response]] = partial(_serve, asset)
        found.append(Route(f"/ui/{name}", endpoint, methods=["GET"]))
    return found


def _assets(sample: bytes | None) -> dict[str, _Asset]:
    """By name below /ui/."""
    files = sorted(path for path in _FOLDER.iterdir() if path.suffix in CONTENT_TYPES)
    assets = {path.name: _asset(path.read_bytes(), path.suffix) for path in files}
    assets[""] = assets.pop("index.html")
    if sample is not None:
        assets["sample.png"] = _asset(sample, ".png")
    return assets


def _asset(content: bytes, suffix: str) -> _Asset:
    return _Asset(content, CONTENT_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


async def _serve(asset: _Asset, request: Request) -> Response:
    headers = {**_HEADERS, "etag": asset.entity_tag}
    if asset.entity_tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.content_type)


async def _to_the_folder(_request: Request) -> Response:
    """Relative, so that it holds behind a proxy that adds a prefix: the page's own addresses are relative, too."""
    return RedirectResponse("ui/", headers={"cache-control": "no-cache"})
