"""What the page at /ui asks for beside scores."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from vfnet_gateway import page
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.scorer import Fetch
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.triton_facts import TritonFacts, read_manifest


class UIRoutes:
    """`/ui/stages` and `/ui/info`, for callers with a key; and the page itself."""

    def __init__(
        self, settings: GatewaySettings, keys: KeyRing, facts: TritonFacts, fetch: Fetch, bodies: BodyReader
    ) -> None:
        self._settings, self._keys, self._facts = settings, keys, facts
        self._fetch, self._bodies = fetch, bodies

    def routes(self) -> list[BaseRoute]:
        """For the application's table."""
        return [Route("/ui/stages", self.stages), Route("/ui/info", self.info), *self._page()]

    async def stages(self, request: Request) -> Response:
        """Triton's cumulative statistics by model: the difference of two answers is what happened between them."""
        self._keys.check(request.headers.get("authorization"))
        return JSONResponse(await self._facts.stages())

    async def info(self, request: Request) -> Response:
        """What is served, and the limits a caller meets."""
        self._keys.check(request.headers.get("authorization"))
        settings = self._settings
        manifest = await asyncio.to_thread(read_manifest, settings.manifest)
        limits = {
            "max_body_bytes": settings.max_body_bytes,
            "max_images": settings.max_images,
            "timeout_s": settings.timeout,
            "max_url_image_bytes": settings.url_limits.max_bytes,
        }
        return JSONResponse({**manifest, **await self._facts.settings(), "limits": limits})

    def _page(self) -> list[BaseRoute]:
        return page.routes(fetch=self._fetch, check_key=self._keys.check, bodies=self._bodies)
