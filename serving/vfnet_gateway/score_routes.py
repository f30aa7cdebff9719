"""`POST /score` as AzureML's endpoint answers it, `POST /invocations` as MLflow's does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vfnet_client import contract
from vfnet_client.contract import ScoreRequest
from vfnet_client.exceptions import InvalidImageError, RequestError, VFNetClientError
from vfnet_client.safe_text import printable_line
from vfnet_gateway.admission import Priority, priority_of
from vfnet_gateway.bodies import BodyReader, unless_gone
from vfnet_gateway.json_bodies import parse_body
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.metrics import GatewayMetrics
from vfnet_gateway.middleware import LONGEST_REASON, error_response
from vfnet_gateway.request_record import RequestRecord, request_record_of
from vfnet_gateway.scorer import Answers, Scorer
from vfnet_gateway.traffic.deployments import Deployments, Destination

Understand = Callable[[Any], ScoreRequest]
Frame = Callable[[bytes], bytes]
_BUILD_ON_A_THREAD_FROM = 64
"""Images of one request."""


@dataclass(frozen=True)
class ScoreRoutes:
    """The routes that detect, and what they share."""

    keys: KeyRing
    bodies: BodyReader
    scorer: Scorer
    deployments: Deployments
    metrics: GatewayMetrics

    def routes(self) -> list[Route]:
        """For the application's table."""
        return [
            Route("/score", self.score, methods=["POST", "OPTIONS"]),
            Route("/invocations", self.invocations, methods=["POST", "OPTIONS"]),
        ]

    async def score(self, request: Request) -> Response:
        """`{"input_data": ...}` -> a bare list."""
        return await self._respond(request, contract.read_score_request, lambda results: results)

    async def invocations(self, request: Request) -> Response:
        """`{"dataframe_split": ...}` or `{"dataframe_records": ...}` -> `{"predictions": [...]}`."""
        return await self._respond(
            request, contract.read_invocation, lambda results: b'{"predictions": ' + results + b"}"
        )

    async def _respond(self, request: Request, understand: Understand, frame: Frame) -> Response:
        if request.method == "OPTIONS":
            return Response(headers={"allow": "OPTIONS, POST"})
        record = request_record_of(request)
        try:
            destination, priority = await self._check(request)
            record.deployment = destination.deployment
            async with self.bodies.reading(request.headers, record.receiving(request.receive)) as body:
                with record.stage("parse"):
                    most = self.bodies.settings.max_images
                    wanted = understand(await parse_body(body, most))
                    body.clear()
                    if len(wanted.items) > most:
                        raise RequestError(
                            413, f"the request has {len(wanted.items)} images, and at most {most} are allowed at a time"
                        )
                record.images = len(wanted.items)
                response = await self._detect(request, record, wanted, destination, priority, frame)
                response.headers.update(wanted.parameters.headers())
        except VFNetClientError as error:
            record.reason = printable_line(str(error), LONGEST_REASON)
            response = error_response(error)
        response.headers["x-ms-run-function-failed"] = str(response.status_code == 422 or response.status_code >= 500)
        response.headers["x-ms-run-fn-exec-ms"] = f"{1000 * record.stages.get('inference', 0):.3f}"
        return response

    async def _check(self, request: Request) -> tuple[Destination, Priority]:
        """What can be told from the head; the body of a refused request is not looked at."""
        try:
            self.keys.check(request.headers.get("authorization"))
            contract.check_content_type(request.headers.get("content-type"))
            record = request_record_of(request)
            record.priority = priority_of(request.headers)
            return self.deployments.choose(request.headers, request_id=record.request_id), record.priority
        except RequestError:
            await self.bodies.refuse_unread(request.headers, request.receive)
            raise

    async def _detect(
        self,
        request: Request,
        record: RequestRecord,
        wanted: ScoreRequest,
        destination: Destination,
        priority: Priority,
        frame: Frame,
    ) -> Response:
        index = wanted.index
        with record.stage("inference"):
            answers = Answers([])
            if wanted.items:
                answers = await unless_gone(request, self.scorer.answer(wanted, destination, priority))
                record.has_failed_images = answers.has_failed_images
        self.metrics.images.labels("detected").inc(len(index) - len(answers.reasons))
        self.metrics.images.labels("unreadable").inc(len(answers.reasons))
        with record.stage("write"):
            if not answers.reasons:
                body = await _built(answers, lambda: frame(contract.score_response(answers.results)))
                return Response(body, media_type="application/json")
            body = await _built(answers, lambda: contract.partial_failure(answers.results, answers.reasons, index))
        record.reason = f"{len(answers.reasons)} images could not be read"
        return Response(body, InvalidImageError.status, media_type="application/json")


async def _built(answers: Answers, build: Callable[[], bytes]) -> bytes:
    """A body, away from the event loop where it is a large one."""
    return await asyncio.to_thread(build) if len(answers.results) > _BUILD_ON_A_THREAD_FROM else build()
