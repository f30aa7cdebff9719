"""KServe v2's REST routes. Errors are `{"error": "..."}`; the middleware writes them so for every path under `/v2`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from importlib.metadata import version

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route

from vfnet_client.exceptions import RequestError, ServerUnavailableError
from vfnet_gateway.admission import Priority, priority_of
from vfnet_gateway.bodies import BodyReader, unless_gone
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.kserve.checked_request import CheckedRequest, check
from vfnet_gateway.kserve.inference import Inference
from vfnet_gateway.kserve.public_interface import control_refusal, is_control_path
from vfnet_gateway.kserve.rest_codec import HEADER_LENGTH, RESTRequest, check_content_type, parse, respond
from vfnet_gateway.kserve.statistics import ModelStatistics
from vfnet_gateway.request_record import request_record_of
from vfnet_gateway.traffic.deployments import Destination

SERVER_NAME = "vfnet"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "parameters", "statistics")
_PARSE_ON_A_THREAD_FROM = 1 << 20
"""Bytes; fewer take less than two milliseconds."""
_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


@dataclass(frozen=True)
class KServeRoutes:
    """`/v2` and what is below it."""

    keys: KeyRing
    bodies: BodyReader
    inference: Inference
    statistics: ModelStatistics

    def routes(self) -> list[BaseRoute]:
        """For the application's table."""
        known: list[BaseRoute] = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models/stats", self.stats),
        ]
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            known += [
                Route(model, self.metadata),
                Route(f"{model}/ready", self.model_ready),
                Route(f"{model}/config", self.config),
                Route(f"{model}/stats", self.stats),
                Route(f"{model}/infer", self.infer, methods=["POST"]),
            ]

        async def anything_else(request: Request) -> Response:
            await self._refuse_body(request)
            if is_control_path(request.scope["path"]):
                raise control_refusal()
            if any(route.matches(request.scope)[0] is Match.PARTIAL for route in known):
                raise HTTPException(405, "the path is known, but not with this method")
            raise HTTPException(404, "there is no such path; see /swagger.json?version=3.1")

        return [*known, Route("/v2/{path:path}", anything_else, methods=_ALL_METHODS)]

    async def live(self, _request: Request) -> Response:
        """The gateway runs."""
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        """The detector behind it is ready; 503 where it is not."""
        await self._check_ready()
        return JSONResponse({"ready": True})

    async def model_ready(self, request: Request) -> Response:
        """So is this model."""
        model = self._model(request)
        await self._check_ready(model)
        return JSONResponse({"name": model, "ready": True})

    async def server(self, request: Request) -> Response:
        """Server metadata."""
        self._check_key(request)
        return JSONResponse({"name": SERVER_NAME, "version": version("vfnet"), "extensions": list(EXTENSIONS)})

    async def metadata(self, request: Request) -> Response:
        """Model metadata: inputs and outputs."""
        self._check_key(request)
        return JSONResponse(self.inference.models.metadata(self._model(request)))

    async def config(self, request: Request) -> Response:
        """Model configuration."""
        self._check_key(request)
        return JSONResponse(self.inference.models.config(self._model(request)))

    async def stats(self, request: Request) -> Response:
        """Triton's counts of the model, or of all that are public."""
        self._check_key(request)
        names = [self._model(request)] if "model" in request.path_params else self.inference.models.names
        return JSONResponse({"model_stats": [(await self.statistics.of(name)).to_json() for name in names]})

    async def infer(self, request: Request) -> Response:
        """Detect on one image."""
        record = request_record_of(request)
        model, destination, priority = await self._check_head(request)
        async with self.bodies.reading(request.headers, record.receiving(request.receive)) as body:
            with record.stage("parse"):
                wanted, checked = await self._understand(body, request.headers.get(HEADER_LENGTH))
            body.clear()
            work = self.inference.infer(destination, checked, record, priority=priority)
            tensors = await unless_gone(request, work)
        with record.stage("write"):
            return respond(model, wanted, tensors)

    async def _understand(self, body: bytearray, header_length: str | None) -> tuple[RESTRequest, CheckedRequest]:
        def understand() -> tuple[RESTRequest, CheckedRequest]:
            wanted = parse(body, header_length)
            checked = check(wanted.given, self.inference.max_image_bytes)
            # Let go of the body's bytes, which the tensors look at.
            return replace(wanted, given=replace(wanted.given, inputs=())), checked

        return await asyncio.to_thread(understand) if len(body) >= _PARSE_ON_A_THREAD_FROM else understand()

    async def _check_head(self, request: Request) -> tuple[str, Destination, Priority]:
        """What can be told from the head; the body of a refused request is not looked at."""
        try:
            self._check_key(request)
            model = self._model(request)
            check_content_type(request.headers.get("content-type"))
            record = request_record_of(request)
            priority = record.priority = priority_of(request.headers)
            return model, self.inference.choose(model, request.headers, record), priority
        except RequestError:
            await self._refuse_body(request)
            raise

    async def _refuse_body(self, request: Request) -> None:
        if request.method not in ("GET", "HEAD"):
            await self.bodies.refuse_unread(request.headers, request.receive)

    async def _check_ready(self, model: str | None = None) -> None:
        if not await self.inference.is_ready(model):
            raise ServerUnavailableError("Triton is not ready")

    def _check_key(self, request: Request) -> None:
        self.keys.check(request.headers.get("authorization"))

    def _model(self, request: Request) -> str:
        parameters = request.path_params
        return self.inference.models.check(parameters["model"], parameters.get("version", ""))
