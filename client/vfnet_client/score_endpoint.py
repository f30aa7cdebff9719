"""A `/score` endpoint: the gateway's, or AzureML's own, which takes and gives the same JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import SplitResult

import httpx

from vfnet_client.bounded_json import parse_json
from vfnet_client.contract import ScoreReply
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import (
    InferenceError,
    InvalidImageError,
    RequestError,
    UnsupportedOptionsError,
    VFNetClientError,
)
from vfnet_client.http_transport import HTTPConnection, retry_after
from vfnet_client.safe_text import printable_line
from vfnet_client.score_parameters import PARAMETERS_HEADER, THRESHOLD_PARAMETER, written_parameters
from vfnet_client.server_errors import about_options, error_for
from vfnet_client.trace_context import trace_headers

ENDPOINT_PATH = "/score"
DEPLOYMENT_HEADER = "azureml-model-deployment"
"""AzureML's, for a request to a deployment other than the traffic split would choose."""
_LONGEST_REASON = 2000
_ANSWERS = (200, InvalidImageError.status)
_CALLERS_FAULT = (400, 405, 413, 415, 431)


class ScoreEndpoint:
    """Also a `vfnet_client.transport.Transport`, for one image at a time and the output `DETECTIONS`.

    Args:
        model: which of the endpoint's deployments to ask; None leaves it to the endpoint.
    """

    def __init__(self, url: SplitResult, credentials: Credentials, model: str | None = None) -> None:
        self._url = url.geturl()
        self._headers = {"content-type": "application/json"} | ({} if model is None else {DEPLOYMENT_HEADER: model})
        self._connection = HTTPConnection(self._url, credentials, secure=url.scheme == "https")

    async def post(self, body: bytes, *, timeout: float | None = None) -> ScoreReply:
        """Send a documented request as it is.

        Returns:
            200, 422, or the 4xx that says what is wrong with the request.

        Raises:
            AccessDeniedError, ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: the
                request is not at fault.
        """
        answer = await self._post(body, timeout)
        return ScoreReply(answer.status_code, answer.content)

    async def _post(self, body: bytes, timeout: float | None) -> httpx.Response:
        headers = {**self._headers, **trace_headers()}
        answer = await self._connection.request("POST", self._url, content=body, headers=headers, timeout=timeout)
        if answer.status_code in (*_ANSWERS, *_CALLERS_FAULT):
            return answer
        raise error_for(str(answer.status_code), _message(answer), self._url, timeout, retry_after(answer))

    async def infer(
        self,
        image: bytes,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,  # noqa: ARG002
    ) -> dict[str, Any]:
        """See `Transport.infer`. Raises `ValueError` for outputs that the JSON does not carry."""
        if tuple(outputs) != ("DETECTIONS",):
            raise ValueError(f"a /score endpoint gives DETECTIONS only, not {', '.join(outputs)}")
        request: dict[str, Any] = {"input_data": {"columns": ["image"], "data": [base64.b64encode(image).decode()]}}
        parameters = written_parameters(options)
        if parameters:
            request["params"] = parameters
        reply = await self._post(json.dumps(request).encode(), timeout)
        try:
            answer: Any = parse_json(reply.content)
            if reply.status_code == 200:
                self._check_understood(parameters, reply)
                return {"DETECTIONS": [json.dumps(answer[0]).encode()]}
            raise _refusal(reply.status_code, answer)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise InferenceError(f"{self._url} does not answer like a /score endpoint") from error

    def _check_understood(self, parameters: Iterable[str], answer: httpx.Response) -> None:
        """Raise UnsupportedOptionsError where a parameter was ignored, which the answer does not show.

        All gateways know the threshold; AzureML's endpoint ignores it, and always did.
        """
        understood = {key.strip() for key in answer.headers.get(PARAMETERS_HEADER, "").split(",")}
        ignored = [key for key in parameters if key not in understood and key != THRESHOLD_PARAMETER]
        if ignored:
            raise UnsupportedOptionsError(
                f"{self._url} ignores {', '.join(ignored)}: AzureML's own endpoint does, and gateways from before a "
                "request could choose this; ask the server itself (grpc://) or leave it out"
            )

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`: whether the root of the endpoint says that it is healthy."""
        try:
            root = self._url.removesuffix(ENDPOINT_PATH) + "/"
            return (await self._connection.request("GET", root, timeout=timeout)).status_code == 200
        except VFNetClientError:
            return False

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._connection.close()


def _refusal(status: int, answer: dict[str, Any]) -> VFNetClientError:
    """Of one image: its own reason, or that of the request around it."""
    if status == InvalidImageError.status:
        return InvalidImageError(printable_line(str(answer["errors"][0]["reason"]), _LONGEST_REASON))
    message = printable_line(str(answer["message"]), _LONGEST_REASON)
    return (about_options(message) if status == 400 else None) or RequestError(status, message)


def _message(answer: httpx.Response) -> str:
    try:
        document: Any = parse_json(answer.content)
        return str(document["message"])
    except (KeyError, TypeError, ValueError):
        return f"status {answer.status_code} {answer.reason_phrase}".rstrip()
