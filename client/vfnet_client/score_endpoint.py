"""A `/score` endpoint: the gateway's, or AzureML's own, which takes and gives the same JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult

import httpx

from vfnet_client.bounded_json import parse_json
from vfnet_client.contract import THRESHOLD_PARAMETER, ScoreReply
from vfnet_client.credentials import Credentials
from vfnet_client.exceptions import InferenceError, InvalidImageError, RequestError, VFNetClientError
from vfnet_client.http_transport import HTTPConnection, retry_after
from vfnet_client.safe_text import printable_line
from vfnet_client.server_errors import error_for
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
        headers = {**self._headers, **trace_headers()}
        answer = await self._connection.request("POST", self._url, content=body, headers=headers, timeout=timeout)
        if answer.status_code in (*_ANSWERS, *_CALLERS_FAULT):
            return ScoreReply(answer.status_code, answer.content)
        raise error_for(str(answer.status_code), _message(answer), self._url, timeout, retry_after(answer))

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,  # noqa: ARG002
    ) -> dict[str, Any]:
        """See `Transport.infer`. Raises `ValueError` for outputs that the JSON does not carry."""
        if tuple(outputs) != ("DETECTIONS",):
            raise ValueError(f"a /score endpoint gives DETECTIONS only, not {', '.join(outputs)}")
        request: dict[str, Any] = {"input_data": {"columns": ["image"], "data": [base64.b64encode(image).decode()]}}
        if score_threshold is not None:
            request["params"] = {THRESHOLD_PARAMETER: score_threshold}
        reply = await self.post(json.dumps(request).encode(), timeout=timeout)
        try:
            answer: Any = parse_json(reply.body)
            if reply.status == 200:
                return {"DETECTIONS": [json.dumps(answer[0]).encode()]}
            raise _refusal(reply.status, answer)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise InferenceError(f"{self._url} does not answer like a /score endpoint") from error

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:  # noqa: ARG002
        """See `Transport.step_parameters`."""
        return {}

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
    return RequestError(status, printable_line(str(answer["message"]), _LONGEST_REASON))


def _message(answer: httpx.Response) -> str:
    try:
        document: Any = parse_json(answer.content)
        return str(document["message"])
    except (KeyError, TypeError, ValueError):
        return f"status {answer.status_code} {answer.reason_phrase}".rstrip()
