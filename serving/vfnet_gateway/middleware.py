"""Around every request: its id, its headers, its log line, its metrics, and errors as JSON."""

from __future__ import annotations

import asyncio
import json
import traceback
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vfnet_client.answer_about import HEADER as ABOUT_HEADER
from vfnet_client.answer_about import STEPS
from vfnet_client.contract import error_body
from vfnet_client.exceptions import (
    DeadlineExceededError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)
from vfnet_client.safe_text import printable_line
from vfnet_client.score_endpoint import DEPLOYMENT_HEADER
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.bodies import ClientGoneError
from vfnet_gateway.host_policy import HostPolicy
from vfnet_gateway.leaving import Leaving
from vfnet_gateway.metrics import REFUSALS, GatewayMetrics
from vfnet_gateway.request_record import SCOPE_KEY, RequestRecord
from vfnet_gateway.tracing import Tracing

LONGEST_REQUEST_ID = 100
LONGEST_REASON = 500
"""Characters of what a caller is told, and of what the log keeps of it."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_RETRY_AFTER_S = {429: "1", 503: "2"}
_TOLD_OF_THE_SERVER: dict[type[VFNetClientError], str] = {
    ServerBusyError: "the server is busy with other requests; try again a little later",
    ServerUnavailableError: "the detector is not ready; try again a little later",
    DeadlineExceededError: "no answer in the time allowed; send fewer images at a time",
}
"""What callers are told; the errors themselves name addresses that are not theirs to know."""
_CLIENT_GONE = 499
"""nginx's number for a client that left before its answer: in log and metrics, never sent."""


class RequestMiddleware:
    """ASGI middleware, the outermost: every route is behind the same checks.

    Args:
        host_policy: by which names, and from whose pages, it may be asked; None where keys say who may.
        leaving: whether each answer is to be the last on its connection, so that the caller makes its next elsewhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: GatewayMetrics,
        log: AccessLog,
        host_policy: HostPolicy | None = None,
        leaving: Leaving | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._app, self._metrics, self._log, self._host_policy = app, metrics, log, host_policy
        self._leaving, self._tracing = leaving or Leaving(), tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = Headers(scope=scope).get("x-request-id") or str(uuid.uuid4())
        record = scope[SCOPE_KEY] = RequestRecord(request_id)
        record.steps.begin(self._metrics.image_step)
        record.steps.wants_models = STEPS in Headers(scope=scope).get(ABOUT_HEADER, "")
        trace = None
        if self._tracing is not None:
            trace = self._tracing.begin(scope["method"], scope["path"], Headers(scope=scope), record)
        self._metrics.requests_in_flight.inc()
        try:
            await self._answer(scope, record, receive, _Stamp(record, send, self._leaving))
        finally:
            self._metrics.requests_in_flight.dec()
            self._log_and_count(scope, record)
            if trace is not None:
                trace.end(record.status or _CLIENT_GONE, record)
        return None

    async def _answer(self, scope: Scope, record: RequestRecord, receive: Receive, stamp: _Stamp) -> None:
        try:
            if len(record.request_id) > LONGEST_REQUEST_ID:
                record.request_id = record.request_id[:LONGEST_REQUEST_ID]
                raise RequestError(431, f"x-request-id must not exceed {LONGEST_REQUEST_ID} characters")
            if self._host_policy is not None:
                self._host_policy.check(scope["method"], Headers(scope=scope))
            await self._app(scope, receive, stamp)
        except ClientGoneError:
            record.reason = "the client left"
        except asyncio.CancelledError:  # the server stops, and this took longer than it waits
            record.reason = "given up when stopping"
            if record.status is None:
                field = "error" if _is_kserve(scope["path"]) else "message"
                await error_response(ServerUnavailableError("stopping"), field)(scope, receive, stamp)
        except Exception as error:
            if record.status is not None:
                raise  # half an answer is out: all that is left is to close the connection
            response = error_response(error, "error" if _is_kserve(scope["path"]) else "message")
            record.reason = (
                printable_line(str(error), LONGEST_REASON)
                if isinstance(error, VFNetClientError)
                else type(error).__name__
            )
            if response.status_code == 500:
                self._log.note("ERROR", f"{record.request_id}: {innermost(error)}")
            await response(scope, receive, stamp)

    def _log_and_count(self, scope: MutableMapping[str, Any], record: RequestRecord) -> None:
        status = record.status or _CLIENT_GONE
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.answered(route, method, str(status), REFUSALS.get(status), record)
        self._metrics.levels.count(record, status)
        self._log.request(scope, record, status)


class _Stamp:
    """The request's `send`: puts the headers on that every answer carries, and counts what goes out."""

    def __init__(self, record: RequestRecord, send: Send, leaving: Leaving) -> None:
        self._record, self._send, self._leaving = record, send, leaving

    async def __call__(self, message: Message) -> None:
        record = self._record
        if message["type"] == "http.response.start":
            record.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            headers["x-request-id"] = record.request_id
            headers["server-timing"] = record.server_timing()
            headers["x-content-type-options"] = "nosniff"
            if record.deployment is not None:
                headers[DEPLOYMENT_HEADER] = record.deployment
            if self._leaving.has_begun:
                headers["connection"] = "close"
        elif message["type"] == "http.response.body":
            record.bytes_out += len(message.get("body", b""))
        await self._send(message)


def error_response(error: Exception, field: str = "message") -> Response:
    """`{"message": "..."}`, or another field, with the status an error earns."""
    status, message = told_of(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status in _RETRY_AFTER_S:
        headers["retry-after"] = _RETRY_AFTER_S[status]
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status in (408, 413):
        headers["connection"] = "close"
    body = error_body(Exception(message)) if field == "message" else json.dumps({field: message}).encode()
    return Response(body, status, headers, media_type="application/json")


def told_of(error: Exception) -> tuple[int, str]:
    """HTTP's status for an error and what its caller is told. What nobody expected is a 500 that tells nothing."""
    status, message = 500, "the server failed on this request; its log says why"
    if isinstance(error, HTTPException):  # the router's own
        status, message = error.status_code, error.detail
    elif isinstance(error, RequestError):
        status, message = error.status, str(error)
    else:
        for kind, told in _TOLD_OF_THE_SERVER.items():
            if isinstance(error, kind):
                status, message = kind.status, told
    return status, printable_line(message, LONGEST_REASON)


def _is_kserve(path: str) -> bool:
    """Whether a path is KServe's, whose errors have a field of another name."""
    return path == "/v2" or path.startswith("/v2/")


def innermost(error: Exception) -> str:
    """What happened and where, in one line without the caller's data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.name}, line {frame.lineno} of {frame.filename}"
