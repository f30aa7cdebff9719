"""KServe v2 over HTTP: the image as a binary tensor in, JSON out.

https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/rest_predict_v2.yaml, and for the binary tensor
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html.
tritonclient[http] does the same and brings aiohttp and gevent for it; httpx is here already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult

import httpx

from vfnet_client.bounded_json import parse_json
from vfnet_client.credentials import Credentials
from vfnet_client.exceptions import InferenceError, VFNetClientError
from vfnet_client.http_connection import HTTPConnection, retry_after
from vfnet_client.server_errors import error_for
from vfnet_client.transport import MODEL

_MOST_CONTAINERS = 1_000_000
"""Lists and objects in one answer."""
_DTYPES = {"BYTES": "object", "FP32": "float32", "INT32": "int32"}


class HTTPTransport:
    """See `vfnet_client.transport.Transport`."""

    def __init__(self, server: SplitResult, credentials: Credentials) -> None:
        self._server = server.geturl()
        self._model = f"{self._server}/v2/models/{MODEL}"
        self._connection = HTTPConnection(self._server, credentials, secure=server.scheme == "https")

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """See `Transport.infer`."""
        head, tensor = infer_request(image, score_threshold, outputs, priority)
        answer = await self._connection.request(
            "POST",
            f"{self._model}/infer",
            content=head + tensor,
            headers={"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"},
            timeout=timeout,
        )
        if answer.status_code != 200:
            raise self._refusal(answer, timeout)
        try:
            document: Any = parse_json(answer.content, _MOST_CONTAINERS)
            found = {output["name"]: _array(output) for output in document["outputs"]}
            return {name: found[name] for name in outputs}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InferenceError(f"{self._server} does not answer like a Triton server") from error

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`."""
        try:
            answer = await self._connection.request("GET", f"{self._model}/ready", timeout=timeout)
        except VFNetClientError:
            return False
        return answer.status_code == 200

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._connection.close()

    def _refusal(self, answer: httpx.Response, timeout: float | None) -> VFNetClientError:
        try:
            document: Any = parse_json(answer.content, _MOST_CONTAINERS)
            message = str(document["error"])
        except (KeyError, TypeError, ValueError):
            if answer.status_code in (200, 400):  # a proxy or another kind of server: not the image's fault
                return InferenceError(f"{self._server} does not answer like a Triton server")
            message = f"status {answer.status_code} {answer.reason_phrase}".rstrip()
        return error_for(str(answer.status_code), message, self._server, timeout, retry_after(answer))


def infer_request(
    image: bytes, score_threshold: float | None, outputs: Sequence[str], priority: int
) -> tuple[bytes, bytes]:
    """A request's JSON head, and the tensor after it: the image after its length in four bytes, little-endian."""
    tensor = len(image).to_bytes(4, "little") + image
    inputs: list[dict[str, Any]] = [
        {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
    ]
    if score_threshold is not None:
        inputs.append({"name": "SCORE_THRESHOLD", "shape": [1], "datatype": "FP32", "data": [float(score_threshold)]})
    head: dict[str, Any] = {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
    if priority:
        head["parameters"] = {"priority": priority}
    return json.dumps(head).encode(), tensor


def _array(output: dict[str, Any]) -> Any:
    import numpy as np

    data = [value.encode() for value in output["data"]] if output["datatype"] == "BYTES" else output["data"]
    return np.array(data, dtype=_DTYPES[output["datatype"]]).reshape(output["shape"])
