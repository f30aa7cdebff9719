"""`inference.GRPCInferenceService` and `grpc.health.v1.Health`, call by call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from vfnet_client.exceptions import RequestError, ServerBusyError, ServerUnavailableError, VFNetClientError
from vfnet_client.safe_text import is_printable_line
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.admission import priority_of
from vfnet_gateway.bodies import ClientGoneError
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.kserve.checked_request import check
from vfnet_gateway.kserve.grpc_codec import (
    FINAL_RESPONSE,
    config_response,
    given,
    infer_response,
    metadata_response,
    parse,
)
from vfnet_gateway.kserve.grpc_messages import MessageReader
from vfnet_gateway.kserve.inference import Inference
from vfnet_gateway.kserve.public_interface import CONTROL_METHODS, control_refusal
from vfnet_gateway.kserve.rest import EXTENSIONS, SERVER_NAME
from vfnet_gateway.kserve.statistics import ModelStatistics
from vfnet_gateway.metrics import REFUSALS, GatewayMetrics
from vfnet_gateway.middleware import LONGEST_REQUEST_ID, innermost, told_of
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.tracing import Tracing

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would say: try again
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    431: grpc.StatusCode.INVALID_ARGUMENT,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CLIENT_GONE, _DEADLINE = 499, 504
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
"""`grpc.health.v1.HealthCheckResponse` with its status, field 1."""
_WATCH_EVERY_S = 0.5
_MOST_WATCHERS = 64
"""At once: they need no key, and take nobody else's place."""


@dataclass
class Call:
    """One call while it is answered."""

    context: grpc.aio.ServicerContext
    headers: Mapping[str, str]
    record: RequestRecord

    def time_left(self) -> float | None:
        """Seconds until the caller's own deadline."""
        left: float | None = self.context.time_remaining()
        return left


Answer = Callable[[Call, Any], Awaitable[Any]]


@dataclass(frozen=True)
class _Method:
    request: type[Any]
    answer: Answer
    needs_key: bool = True
    detects: bool = False


class InferenceService(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every call that arrives, of whatever name: known, refused or unknown.

    All are handled as calls whose requests are a stream, which differ from others in nothing on the wire, so that
    a message is read when the call has been looked at, and not before.
    """

    def __init__(
        self,
        keys: KeyRing,
        messages: MessageReader,
        inference: Inference,
        statistics: ModelStatistics,
        metrics: GatewayMetrics,
        log: AccessLog,
        tracing: Tracing | None = None,
    ) -> None:
        self._keys, self._messages, self._inference = keys, messages, inference
        self._statistics = statistics
        self._metrics, self._log, self._tracing = metrics, log, tracing
        self.calls: set[asyncio.Task[Any]] = set()
        """Those being answered."""
        self.is_stopping = False
        """Then a call that is cancelled is told that the server is away."""
        self._watchers = 0
        self.is_draining = False
        """Then nobody who only watches is kept."""
        self._methods = {
            f"/{SERVICE}/ServerLive": _Method(service_pb2.ServerLiveRequest, self._server_live, False),
            f"/{SERVICE}/ServerReady": _Method(service_pb2.ServerReadyRequest, self._server_ready, False),
            f"/{SERVICE}/ModelReady": _Method(service_pb2.ModelReadyRequest, self._model_ready, False),
            f"/{SERVICE}/ServerMetadata": _Method(service_pb2.ServerMetadataRequest, self._server_metadata),
            f"/{SERVICE}/ModelMetadata": _Method(service_pb2.ModelMetadataRequest, self._model_metadata),
            f"/{SERVICE}/ModelConfig": _Method(service_pb2.ModelConfigRequest, self._model_config),
            f"/{SERVICE}/ModelStatistics": _Method(service_pb2.ModelStatisticsRequest, self._model_statistics),
            f"/{SERVICE}/ModelInfer": _Method(service_pb2.ModelInferRequest, self._infer, detects=True),
            # Its request has the one field that this message has first, too: the name of a service.
            f"/{HEALTH_SERVICE}/Check": _Method(service_pb2.ModelReadyRequest, self._health, False),
        }

    def service(self, handler_call_details: Any) -> Any:
        """How gRPC asks for what answers a call."""
        path = str(handler_call_details.method)
        if path == f"/{SERVICE}/ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(self._streaming(path))
        if path == f"/{HEALTH_SERVICE}/Watch":
            return grpc.stream_stream_rpc_method_handler(self._watching(path))
        method = self._methods.get(path)
        if method is None:
            return grpc.stream_unary_rpc_method_handler(self._refusing(path))
        return grpc.stream_unary_rpc_method_handler(self._answering(path, method))

    def _answering(self, path: str, method: _Method) -> Any:
        async def answer(_requests: Any, context: grpc.aio.ServicerContext) -> bytes:
            async def work(call: Call) -> bytes:
                if method.needs_key:
                    self._keys.check(call.headers.get("authorization"))
                if method.detects:  # also where there is no room for its message
                    call.record.priority = priority_of(call.headers)
                async with self._messages.reading(context, call.record) as message:
                    answer = await method.answer(call, parse(method.request, message))
                body = answer if isinstance(answer, bytes) else answer.SerializeToString()
                call.record.bytes_out += len(body)
                return body

            return bytes(await self._run(path, context, work))

        return answer

    def _streaming(self, path: str) -> Any:
        async def answer(_requests: Any, context: grpc.aio.ServicerContext) -> None:
            async def work(call: Call) -> None:
                self._keys.check(call.headers.get("authorization"))
                with self._messages.stream():
                    while await self._answer_in_stream(call):
                        pass

            await self._run(path, context, work)

        return answer

    def _watching(self, path: str) -> Any:
        async def answer(_requests: Any, context: grpc.aio.ServicerContext) -> None:
            async def work(call: Call) -> None:
                async with self._messages.reading(context, call.record) as message:
                    service = parse(service_pb2.ModelReadyRequest, message).name
                told = None
                while not self.is_draining:
                    status = await self._status_of(service)
                    if status != told:
                        await context.write(status)
                        told = status
                    await asyncio.sleep(_WATCH_EVERY_S)

            async def bounded(call: Call) -> None:
                if self._watchers >= _MOST_WATCHERS:
                    raise ServerBusyError("too many watchers")
                self._watchers += 1
                try:
                    await work(call)
                finally:
                    self._watchers -= 1

            await self._run(path, context, bounded)

        return answer

    async def _answer_in_stream(self, call: Call) -> bool:
        """One request of a stream and its answer, in which an error is no end of the stream; whether there was one."""
        self._keys.check(call.headers.get("authorization"))  # it may have lost its meaning since
        async with self._messages.reading_in_stream(call.context, call.record) as message:
            if message is None:
                return False
            status = 200
            try:
                response = await self._infer(call, parse(service_pb2.ModelInferRequest, message))
                response.parameters[FINAL_RESPONSE].bool_param = True
                answer = service_pb2.ModelStreamInferResponse(infer_response=response)
            except VFNetClientError as error:
                status, told = told_of(error)
                answer = service_pb2.ModelStreamInferResponse(error_message=told)
            self._metrics.levels.count(call.record, status)
        body = answer.SerializeToString()
        call.record.bytes_out += len(body)
        await call.context.write(body)
        return True

    def _refusing(self, path: str) -> Any:
        is_control = path.startswith(f"/{SERVICE}/") and CONTROL_METHODS.search(path) is not None

        async def refuse(_requests: Any, context: grpc.aio.ServicerContext) -> bytes:
            async def work(_call: Call) -> bytes:
                raise control_refusal() if is_control else RequestError(501, "the gateway has no such method")

            return bytes(await self._run(path if is_control else "other", context, work))

        return refuse

    async def _run(self, route: str, context: grpc.aio.ServicerContext, work: Callable[[Call], Awaitable[Any]]) -> Any:
        """Around every call: its id, its log line, its metrics, and errors in gRPC's words."""
        headers = _headers(context)
        call = Call(context, headers, RequestRecord(_request_id(headers)))
        call.record.steps.begin(self._metrics.image_step)
        trace = None if self._tracing is None else self._tracing.begin("gRPC", route, headers, call.record)
        task = asyncio.current_task()
        assert task is not None
        self.calls.add(task)
        self._metrics.requests_in_flight.inc()
        status = 200
        try:
            return await work(call)
        except asyncio.CancelledError:
            if self.is_stopping and not context.cancelled():
                status, call.record.reason = 503, "given up when stopping"
                return await _abort(context, 503, told_of(ServerUnavailableError("stopping"))[1])
            status, call.record.reason = _CLIENT_GONE, "the client left"
            if call.time_left() == 0:
                status, call.record.reason = _DEADLINE, "the caller's deadline"
            raise
        except ClientGoneError:
            status, call.record.reason = _CLIENT_GONE, "the client left"
            return await _abort(context, status, "the client left")
        except Exception as error:
            status, message = told_of(error)
            call.record.reason = str(error) if isinstance(error, VFNetClientError) else type(error).__name__
            if status == 500:
                self._log.note("ERROR", f"{call.record.request_id}: {innermost(error)}")
            return await _abort(context, status, message)
        finally:
            self.calls.discard(task)
            self._metrics.requests_in_flight.dec()
            if trace is not None:
                trace.end(status, call.record)
            code = "OK" if status == 200 else _CODES.get(status, grpc.StatusCode.INTERNAL).name
            self._metrics.answered(route, "gRPC", code, REFUSALS.get(status), call.record)
            self._metrics.levels.count(call.record, status)
            self._log.request(
                {"client": (_address(context),), "method": "gRPC", "path": route}, call.record, code
            )  # fmt: skip

    async def _server_live(self, _call: Call, _request: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def _server_ready(self, _call: Call, _request: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=await self._inference.is_ready())

    async def _model_ready(self, _call: Call, request: Any) -> Any:
        model = self._inference.models.check(request.name, request.version)
        return service_pb2.ModelReadyResponse(ready=await self._inference.is_ready(model))

    async def _server_metadata(self, _call: Call, _request: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name=SERVER_NAME, version=version("vfnet"), extensions=EXTENSIONS)

    async def _model_metadata(self, _call: Call, request: Any) -> Any:
        models = self._inference.models
        return metadata_response(models.metadata(models.check(request.name, request.version)))

    async def _model_config(self, _call: Call, request: Any) -> Any:
        models = self._inference.models
        return config_response(models.config(models.check(request.name, request.version)))

    async def _model_statistics(self, _call: Call, request: Any) -> Any:
        models = self._inference.models
        names = [models.check(request.name, request.version)] if request.name else models.names
        found = [(await self._statistics.of(name)).to_message() for name in names]
        return service_pb2.ModelStatisticsResponse(model_stats=found)

    async def _infer(self, call: Call, request: Any) -> Any:
        priority = call.record.priority = priority_of(call.headers)
        model = self._inference.models.check(request.model_name, request.model_version)
        destination = self._inference.choose(model, call.headers, call.record)
        with call.record.stage("parse"):
            checked = check(given(request), self._inference.max_image_bytes)
            request.Clear()  # the image is in memory once
        tensors = await self._inference.infer(
            destination, checked, call.record, priority=priority, time_left=call.time_left()
        )
        with call.record.stage("write"):
            return infer_response(model, checked.id, tensors, call.record.deployment)

    async def _health(self, _call: Call, request: Any) -> bytes:
        status = await self._status_of(request.name)
        if status == _SERVICE_UNKNOWN:
            raise RequestError(404, "there is no service of that name")
        return status

    async def _status_of(self, service: str) -> bytes:
        """Of a model, or of all where it names none. `Watch` says of what it does not know that it may come."""
        names = self._inference.models.names
        if service not in ("", SERVICE, *names):
            return _SERVICE_UNKNOWN
        is_ready = await self._inference.is_ready(service if service in names else None)
        return _SERVING if is_ready else _NOT_SERVING


async def _abort(context: grpc.aio.ServicerContext, status: int, message: str) -> Any:
    await context.abort(_CODES.get(status, grpc.StatusCode.INTERNAL), message)


def _headers(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """A call's metadata that is text; of a name that is there twice the first."""
    headers: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            headers.setdefault(key, value)
    return headers


def _request_id(headers: Mapping[str, str]) -> str:
    given_id = headers.get("x-request-id", "")
    return given_id if 0 < len(given_id) <= LONGEST_REQUEST_ID and is_printable_line(given_id) else str(uuid.uuid4())


def _address(context: grpc.aio.ServicerContext) -> str:
    """The caller's address without its port, of `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`."""
    return unquote(str(context.peer())).partition(":")[2].rpartition(":")[0].strip("[]")
