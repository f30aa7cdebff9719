"""HTTP: connections to one server, and KServe v2 over them: the image as a binary tensor in, JSON out.

https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/rest_predict_v2.yaml, and for the binary tensor
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html.
tritonclient[http] does the same and brings aiohttp and gevent for it; httpx is here already.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult

import httpx

from vfnet_client.answer_about import about_headers
from vfnet_client.bounded_json import parse_json
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import InferenceError, VFNetClientError
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_client.safe_text import printable_line
from vfnet_client.server_errors import deadline_exceeded, error_for, unavailable
from vfnet_client.trace_context import trace_headers

_MOST_ANSWER = 256 << 20
"""Bytes. Of `/score` it holds all images of a request, each of some ten thousand."""
_MOST_CONTAINERS = 1_000_000
"""Lists and objects in one answer."""
_DTYPES = {"BYTES": "object", "FP32": "float32", "INT32": "int32"}


class HTTPConnection:
    """Pooled connections to one server, straight and past any proxy of the environment, as over gRPC.

    Args:
        server: its address, for messages.
        secure: whether the credentials' authorities and certificate are needed.
    """

    def __init__(self, server: str, credentials: Credentials, *, secure: bool) -> None:
        self._server = server
        self._client = httpx.AsyncClient(
            headers={"accept-encoding": "identity", **credentials.request_headers()},
            verify=credentials.ssl_context() if secure else False,
            trust_env=False,
            timeout=None,  # each request brings its own
            limits=httpx.Limits(max_connections=None),  # the window of the caller is the limit
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None,
    ) -> httpx.Response:
        """An answer of any status.

        Raises:
            ServerUnavailableError: no connection, or it was lost before the answer was there.
            DeadlineExceededError: `timeout` seconds were not enough.
            InferenceError: what answers does not speak HTTP, compresses, or answers without end.
        """
        try:
            async with asyncio.timeout(timeout):
                async with self._client.stream(method, url, content=content, headers=headers) as answer:
                    return await self._read(answer)
        except TimeoutError as error:
            raise deadline_exceeded(self._server, timeout) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, OSError) as error:  # OSError: a TLS alert while reading
            raise unavailable(self._server, str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = printable_line(str(error), 200)
            raise InferenceError(f"{self._server} does not answer like a server: {words}") from error

    async def _read(self, answer: httpx.Response) -> httpx.Response:
        """The answer with its body as it was sent: compressed, a few bytes could become gigabytes."""
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise InferenceError(f"{self._server} compresses its answer ({encoding[:40]!r}) although asked not to")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > _MOST_ANSWER:
                raise InferenceError(f"the answer of {self._server} is larger than {_MOST_ANSWER >> 20} MiB")
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            content=bytes(body),
            extensions={"reason_phrase": answer.reason_phrase.encode("ascii", "replace")},
            request=answer.request,
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def retry_after(answer: httpx.Response) -> float | None:
    """The seconds that an answer's Retry-After asks for, which may be a date."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):  # TypeError: a date without a zone
        return None


class HTTPTransport:
    """See `vfnet_client.transport.Transport`.

    Args:
        model: which of the server's to ask; all have the interface of `MODEL`.
    """

    def __init__(self, server: SplitResult, credentials: Credentials, model: str = MODEL) -> None:
        self._server = server.geturl()
        self._model, self._names = f"{self._server}/v2/models/{model}", EnsembleNames(model)
        self._connection = HTTPConnection(self._server, credentials, secure=server.scheme == "https")

    async def infer(
        self,
        image: bytes,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """See `Transport.infer`."""
        head, tensor = infer_request(image, options, outputs, priority)
        answer = await self._connection.request(
            "POST",
            f"{self._model}/infer",
            content=head + tensor,
            headers={
                "inference-header-content-length": str(len(head)),
                "content-type": "application/octet-stream",
                **trace_headers(),
                **about_headers(),
            },
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

    async def step_parameters(self, step: str, *, timeout: float | None = None) -> dict[str, str]:
        """See `Transport.step_parameters`."""
        url = f"{self._server}/v2/models/{self._names.step(step)}/config"
        answer = await self._connection.request("GET", url, timeout=timeout)
        if answer.status_code != 200:
            raise self._refusal(answer, timeout)
        try:
            document: Any = parse_json(answer.content, _MOST_CONTAINERS)
            return {name: str(value["string_value"]) for name, value in document["parameters"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
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
    image: bytes, options: DetectionOptions, outputs: Sequence[str], priority: int
) -> tuple[bytes, bytes]:
    """A request's JSON head, and the tensor after it: the image after its length in four bytes, little-endian."""
    tensor = len(image).to_bytes(4, "little") + image
    inputs: list[dict[str, Any]] = [
        {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
    ]
    for option in options.tensors():
        shape = [len(option.values)]
        inputs.append({"name": option.name, "shape": shape, "datatype": option.datatype, "data": option.values})
    head: dict[str, Any] = {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
    if priority:
        head["parameters"] = {"priority": priority}
    return json.dumps(head).encode(), tensor


def _array(output: dict[str, Any]) -> Any:
    import numpy as np

    data = [value.encode() for value in output["data"]] if output["datatype"] == "BYTES" else output["data"]
    return np.array(data, dtype=_DTYPES[output["datatype"]]).reshape(output["shape"])
