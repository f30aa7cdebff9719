"""The gateway as an ASGI application."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from vfnet_client.transport import open_transport
from vfnet_client.url_images.url_images import URLImageFetcher
from vfnet_gateway import swagger
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.envelope import Envelope
from vfnet_gateway.health_routes import HealthRoutes
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.metrics import CONTENT_TYPE, GatewayMetrics
from vfnet_gateway.score_routes import ScoreRoutes
from vfnet_gateway.scoring import Scorer
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.triton_facts import TritonFacts
from vfnet_gateway.ui_routes import UIRoutes


class Gateway:
    """ASGI. Everything that binds itself to an event loop is made when the server starts it.

    Raises:
        CommandError: the keys' file cannot be read.
    """

    def __init__(self, settings: GatewaySettings, log_stream: TextIO | None = None) -> None:
        self.settings = settings
        self.log = AccessLog(log_stream or sys.stdout)
        self.metrics = GatewayMetrics()
        self.keys = KeyRing(settings.keys, settings.keys_file, lambda line: self.log.note("INFO", line))
        self.bodies = BodyReader(settings)
        self._router = Router(redirect_slashes=False, lifespan=self._lifespan)
        host_policy = settings.host_policy if self.keys.is_open else None
        self._envelope = Envelope(self._router, self.metrics, self.log, host_policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and stop."""
        scope["app"] = self  # the router raises instead of answering itself
        await self._envelope(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _router: object) -> AsyncIterator[None]:
        settings = self.settings
        transport, facts = open_transport(settings.server), TritonFacts(settings.server)
        fetcher = URLImageFetcher(settings.url_policy, settings.url_limits)
        ensemble = Ensemble(settings, transport)
        scorer = Scorer(settings, ensemble, fetcher.fetch)
        self._watch(ensemble)
        routes: list[BaseRoute] = [
            *ScoreRoutes(self.keys, self.bodies, scorer, self.metrics).routes(),
            *HealthRoutes(transport, ensemble).routes(),
            *swagger.routes(),
            Route("/metrics", self._metrics),
            *UIRoutes(settings, self.keys, facts, fetcher.fetch, self.bodies).routes(),
        ]
        self._router.routes[:] = routes
        try:
            yield
        finally:
            await fetcher.close()
            await facts.close()
            await transport.close()

    def _watch(self, ensemble: Ensemble) -> None:
        budget = self.bodies.budget
        self.metrics.watch("images_in_flight", "Images in the ensemble.", lambda: ensemble.in_flight)
        self.metrics.watch("requests_waiting", "Requests waiting for a first place.", lambda: ensemble.newcomers)
        self.metrics.watch("held_bytes", "Bytes of bodies being worked on.", lambda: budget.held)

    async def _metrics(self, request: Request) -> Response:
        if self.settings.protect_metrics:
            self.keys.check(request.headers.get("authorization"))
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)
