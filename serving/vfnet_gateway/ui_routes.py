"""All below /ui: the page's files, served as they are, and what the page asks for beside scores."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vfnet_client.exceptions import InvalidImageError, RequestError
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.kserve.public_interface import shown
from vfnet_gateway.scorer import Fetch
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.triton_facts import TritonFacts

CheckKey = Callable[[str | None], None]
"""Takes the Authorization header; raises `RequestError` 401 where a key is needed and not there."""
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
_LONGEST_PICTURE_REQUEST = 16 << 10
"""Bytes of a body that names a URL."""


class UIRoutes:
    """The page, which anybody may load, and its data, for callers with a key."""

    def __init__(
        self, settings: GatewaySettings, keys: KeyRing, facts: TritonFacts, fetch: Fetch, bodies: BodyReader
    ) -> None:
        self._settings, self._keys, self._facts = settings, keys, facts
        self._fetch, self._bodies = fetch, bodies

    def routes(self) -> list[BaseRoute]:
        """For the application's table."""
        return [
            Route("/ui/stages", self.stages),
            Route("/ui/info", self.info),
            picture_route(self._fetch, self._keys.check, self._bodies),
            *file_routes(),
        ]

    async def stages(self, request: Request) -> Response:
        """Triton's cumulative statistics by step: the difference of two answers is what happened between them."""
        self._keys.check(request.headers.get("authorization"))
        return JSONResponse(await self._facts.stages(self._model(request)))

    async def info(self, request: Request) -> Response:
        """What is served, and the limits a caller meets."""
        self._keys.check(request.headers.get("authorization"))
        settings, model = self._settings, self._model(request)
        manifest = await asyncio.to_thread(read_manifest, settings.manifest_of(model))
        limits = {
            "max_body_bytes": settings.max_body_bytes,
            "max_images": settings.max_images,
            "timeout_s": settings.timeout,
            "max_url_image_bytes": settings.url_limits.max_bytes,
        }
        models = {"model": model, "models": settings.models}
        return JSONResponse({**manifest, **await self._facts.settings(model), "limits": limits, **models})

    def _model(self, request: Request) -> str:
        """The one that is asked about in `?model=NAME`."""
        name = request.query_params.get("model", self._settings.models[0])
        if name not in self._settings.models:
            known = ", ".join(self._settings.models)
            raise RequestError(404, f"there is no deployment {shown(name)} here; there is: {known}")
        return name


def read_manifest(path: Path | None) -> dict[str, Any]:
    """`checkpoint`, `untrained` and `classes` of a built repository; None each where there is no manifest."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        fields = {}
    return {name: fields.get(name) for name in ("checkpoint", "untrained", "classes")}


def picture_route(fetch: Fetch, check_key: CheckKey, bodies: BodyReader) -> Route:
    """`POST /ui/picture` with `{"url": ...}`: an image by URL for the page to draw on.

    A browser may not read it from its own host. Its bytes are to be read by the page and by nothing else.

    Args:
        fetch: from a URL to the bytes of an image; raises `InvalidImageError`. Keeps the rules of URL images.
    """

    async def answer(request: Request) -> Response:
        check_key(request.headers.get("authorization"))
        # What a page of another origin cannot send without being asked for leave, which nobody gives.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "Expects Content-Type to be application/json")
        async with bodies.reading(request.headers, request.receive, most=_LONGEST_PICTURE_REQUEST) as body:
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


def file_routes(sample: bytes | None = None) -> list[BaseRoute]:
    """The page under /ui/; /ui redirects there. Routes of the same prefix go before these.

    Args:
        sample: a PNG to offer as the sample; None offers the packaged one.
    """
    return page_routes("/ui", Path(__file__).with_name("page"), sample)


def page_routes(path: str, folder: Path, sample: bytes | None = None) -> list[BaseRoute]:
    """The files of a folder below a path, `index.html` as the path itself, to which it redirects without a slash."""
    found: list[BaseRoute] = [Route(path, partial(_to_the_folder, path))]
    for name, asset in _assets(folder, sample).items():
        endpoint: Callable[[Request], Awaitable[Response]] = partial(_serve, asset)
        found.append(Route(f"{path}/{name}", endpoint, methods=["GET"]))
    return found


@dataclass(frozen=True)
class _Asset:
    content: bytes
    content_type: str
    entity_tag: str


def _assets(folder: Path, sample: bytes | None) -> dict[str, _Asset]:
    """By name below the page's path."""
    found = sorted(path for path in folder.iterdir() if path.suffix in CONTENT_TYPES)
    assets = {path.name: _asset(path.read_bytes(), path.suffix) for path in found}
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


async def _to_the_folder(path: str, _request: Request) -> Response:
    """Relative, so that it holds behind a proxy that adds a prefix: the page's own addresses are relative, too."""
    return RedirectResponse(f"{path.rpartition('/')[2]}/", headers={"cache-control": "no-cache"})
