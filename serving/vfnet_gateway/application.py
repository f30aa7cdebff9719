"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TextIO

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from vfnet_capture.store import open_store
from vfnet_client.exceptions import VFNetClientError
from vfnet_client.servers.pool import ServerPool
from vfnet_client.transport import open_transport
from vfnet_client.url_images.url_images import URLImageFetcher
from vfnet_gateway import swagger
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.capturing import Capture
from vfnet_gateway.drift import DriftWatch
from vfnet_gateway.ensemble import Ensemble, fair_retries
from vfnet_gateway.health_routes import HealthRoutes
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.kserve.grpc_messages import MessageReader
from vfnet_gateway.kserve.grpc_server import GRPCServer
from vfnet_gateway.kserve.grpc_service import InferenceService
from vfnet_gateway.kserve.inference import Inference
from vfnet_gateway.kserve.rest import KServeRoutes
from vfnet_gateway.kserve.statistics import ModelStatistics
from vfnet_gateway.leaving import Leaving
from vfnet_gateway.metrics import CONTENT_TYPE, GatewayMetrics
from vfnet_gateway.middleware import RequestMiddleware
from vfnet_gateway.review.queue import ReviewQueue
from vfnet_gateway.review.routes import ReviewRoutes
from vfnet_gateway.score_routes import ScoreRoutes
from vfnet_gateway.scorer import Scorer
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.tracing import open_tracing
from vfnet_gateway.traffic.deployment_metrics import DeploymentMetrics
from vfnet_gateway.traffic.deployments import Deployments
from vfnet_gateway.triton_facts import TritonFacts
from vfnet_gateway.ui_routes import UIRoutes, read_manifest
from vfnet_gateway.workers.shared_places import AskedPlaces

_FINISH_S = 5.0
"""Seconds, when stopping, for Triton to answer what nobody waits for: closing the connection cancels it."""


class Gateway:
    """ASGI, and a port for gRPC. Everything that binds itself to an event loop is made when the server starts it.

    Raises:
        CommandError: the keys' file cannot be read, or traces cannot be exported as asked.
        ProfileError: the drift's reference cannot be read.
    """

    def __init__(self, settings: GatewaySettings, log_stream: TextIO | None = None) -> None:
        self.settings = settings
        self.grpc_server: GRPCServer | None = None
        """Started and stopped with the application; None: no port for gRPC."""
        self.asked_places: AskedPlaces | None = None
        """Where this is one of several processes, who gives it places."""
        self.log = AccessLog(log_stream or sys.stdout)
        self.leaving = Leaving()
        self.tracing = open_tracing(settings, self.log.note)
        self.metrics = GatewayMetrics()
        self.keys = KeyRing(settings.keys, settings.keys_file, lambda line: self.log.note("INFO", line))
        self.review_keys: KeyRing | None = None
        """Of those who may correct captured images; None: there is no page for that."""
        if settings.has_review:
            self.review_keys = KeyRing(
                settings.review_keys, settings.review_keys_file, lambda line: self.log.note("INFO", f"review: {line}")
            )
        self.bodies = BodyReader(settings)
        self._drift = DriftWatch.started(settings.drift_reference, settings.drift_window, self.metrics.registry)
        self._router = Router(redirect_slashes=False, lifespan=self._lifespan)
        host_policy = settings.host_policy if self.keys.is_open else None
        self._middleware = RequestMiddleware(
            self._router, self.metrics, self.log, host_policy, self.leaving, self.tracing
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and stop."""
        scope["app"] = self  # the router raises instead of answering itself
        await self._middleware(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _router: object) -> AsyncIterator[None]:
        settings = self.settings
        facts = TritonFacts(settings.server)
        fetcher = URLImageFetcher(settings.url_policy, settings.url_limits)
        retries, asked = fair_retries(), self.asked_places

        def open_ensemble(name: str) -> Ensemble:
            transport = open_transport(settings.server, model=name)
            if isinstance(transport, ServerPool):
                self._watch_servers(transport, is_told=name == settings.models[0])
            open_places = None if asked is None else partial(asked.of_model, name)
            return Ensemble(settings, transport, retries, open_places)

        by_deployment = DeploymentMetrics(self.metrics.registry)
        self.metrics.refreshers.append(by_deployment.refresh)
        if self._drift is not None:
            self.metrics.refreshers.append(self._drift.refresh)
        capture = None if settings.capture.store is None else Capture(settings.capture, self.metrics, self.log.note)
        deployments = Deployments(settings, open_ensemble, by_deployment, self.log.note, capture, self._drift)
        scorer = Scorer(settings, fetcher.fetch, self.metrics.levels)
        self._watch(deployments)
        statistics = ModelStatistics(facts)
        inference = Inference(deployments, self.metrics, settings.timeout, settings.max_image_bytes, self.leaving)
        routes: list[BaseRoute] = [
            *ScoreRoutes(self.keys, self.bodies, scorer, deployments, self.metrics).routes(),
            *HealthRoutes(deployments, self.leaving).routes(),
            *KServeRoutes(self.keys, self.bodies, inference, statistics).routes(),
            *swagger.routes(),
            Route("/metrics", self._metrics),
            *UIRoutes(settings, self.keys, facts, fetcher.fetch, self.bodies).routes(),
            *self._review_routes(),
        ]
        self._router.routes[:] = routes
        await deployments.start()
        if capture is not None:
            capture.start()
        if self.grpc_server is not None:
            messages = MessageReader(self.bodies, settings.max_message_bytes)
            await self.grpc_server.start(
                InferenceService(self.keys, messages, inference, statistics, self.metrics, self.log, self.tracing)
            )
        try:
            yield
        finally:
            if self.grpc_server is not None:
                await self.grpc_server.stop(0)  # begun before, with patience, where the gateway was told to stop
            await fetcher.close()
            await facts.close()
            await deployments.stop(_FINISH_S)
            if self._drift is not None:
                self._drift.stop()
            if capture is not None:
                await capture.stop(_FINISH_S)
            if self.tracing is not None:
                await asyncio.to_thread(self.tracing.close)

    def _review_routes(self) -> list[BaseRoute]:
        settings = self.settings
        if self.review_keys is None or settings.capture.store is None:
            return []
        store, manifest = open_store(settings.capture.store, new=True), settings.manifest_of(settings.models[0])
        return ReviewRoutes(
            store, ReviewQueue(store), self.review_keys, self.bodies, lambda: read_manifest(manifest)["classes"] or ()
        ).routes()

    def _watch(self, deployments: Deployments) -> None:
        budget = self.bodies.budget
        self.metrics.watch("images_in_flight", "Images in the ensemble.", lambda: deployments.in_flight)
        self.metrics.watch("requests_waiting", "Requests waiting for a first place.", lambda: deployments.newcomers)
        self.metrics.watch("held_bytes", "Bytes of bodies being worked on.", lambda: budget.held)

    def _watch_servers(self, pool: ServerPool, *, is_told: bool) -> None:
        """Of several servers, what becomes of each. All models have the same ones: one says it for all."""

        def told(url: str, reason: VFNetClientError | None) -> None:
            if reason is None:
                self.log.note("INFO", f"{url} gets images")
            else:
                self.metrics.left_out.labels(url).inc()
                self.log.note("WARNING", f"{reason}: left out until it answers a picture of ours")

        if is_told:
            pool.told.append(told)
        self.metrics.watch_servers(pool)

    async def _metrics(self, request: Request) -> Response:
        if self.settings.protect_metrics:
            self.keys.check(request.headers.get("authorization"))
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)
