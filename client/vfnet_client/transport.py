"""One inference over gRPC or HTTP: two classes, one small interface, one set of errors."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
)

MODEL = "vfnet"
DEFAULT_SERVER = "grpc://127.0.0.1:8001"
DEFAULT_PORTS = {"grpc": 8001, "grpcs": 443, "http": 8000, "https": 443}

_INT32_MAX = 2**31 - 1
_CHANNEL_ARGUMENTS = [
    ("grpc.max_send_message_length", _INT32_MAX),
    ("grpc.max_receive_message_length", _INT32_MAX),
    ("grpc.enable_http_proxy", 0),  # straight to the server, as over HTTP
    # gRPC's own back-off grows to two minutes: long after a server that restarts is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]
_ENSEMBLE_PREFIX = re.compile(r"^in ensemble '[^']*', ")
_BUSY = re.compile(r"queue|busy|overload|too many|in flight", re.IGNORECASE)


class Transport(Protocol):
    """What a client needs of a protocol. To be used by one event loop."""

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Run the ensemble on one encoded image.

        Args:
            score_threshold: raises the checkpoint's own threshold.
            outputs: which of `DETECTIONS` (object [1], bytes of JSON), `BOXES` (float32 [n, 4], x1 y1 x2 y2 in
                stored pixels), `SCORES` (float32 [n]) and `LABELS` (int32 [n]) to send back.
            timeout: seconds for the answer to arrive; None waits forever.

        Returns:
            NumPy arrays by output name.

        Raises:
            VFNetClientError: one of the subclasses, by what went wrong.
        """
        ...

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it could serve the ensemble. False also when it cannot be reached."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def parse_server_url(url: str) -> SplitResult:
    """`grpc://host:port`, `grpcs://`, `http://` or `https://`; the port may be left out.

    Raises:
        ValueError: it is none of these.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"server URL {url!r} should read grpc://host:port, grpcs://, http:// or https://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = "" if parts.scheme.startswith("grpc") else parts.path.rstrip("/")
    return SplitResult(parts.scheme, f"{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}", path, "", "")


def open_transport(url: str) -> Transport:
    """A transport to the server at this URL; to be called inside the event loop that will use it.

    With TLS (`grpcs`, `https`) the authorities in the file SSL_CERT_FILE names are trusted, else the usual ones.
    """
    parts = parse_server_url(url)
    return GRPCTransport(parts) if parts.scheme.startswith("grpc") else HTTPTransport(parts)


class GRPCTransport:
    """KServe v2 over gRPC, through tritonclient.grpc.aio."""

    def __init__(self, server: SplitResult) -> None:
        import tritonclient.grpc as protocol
        import tritonclient.grpc.aio as aio

        self._server = server.geturl()
        self._protocol = protocol
        self._client = aio.InferenceServerClient(
            server.netloc,
            ssl=server.scheme == "grpcs",
            root_certificates=os.environ.get("SSL_CERT_FILE"),
            channel_args=_CHANNEL_ARGUMENTS,
        )

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """See `Transport.infer`."""
        from tritonclient.utils import InferenceServerException

        try:
            result = await self._client.infer(
                MODEL,
                _inputs(self._protocol, image, score_threshold),
                outputs=[self._protocol.InferRequestedOutput(name) for name in outputs],
                client_timeout=timeout,
            )
        except InferenceServerException as error:
            raise _error_for(error, self._server, timeout) from error
        return {name: result.as_numpy(name) for name in outputs}

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`."""
        from tritonclient.utils import InferenceServerException

        try:
            return bool(await self._client.is_model_ready(MODEL, client_timeout=timeout))
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.close()


class HTTPTransport:
    """KServe v2 over HTTP with binary tensors, through tritonclient.http.aio."""

    def __init__(self, server: SplitResult) -> None:
        import tritonclient.http as protocol
        import tritonclient.http.aio as aio

        self._server = server.geturl()
        self._protocol = protocol
        secure = server.scheme == "https"
        self._client = aio.InferenceServerClient(
            server.netloc + server.path,
            conn_limit=0,  # no limit: the window of the caller is the limit
            conn_timeout=None,  # each call brings its own
            ssl=secure,
            ssl_context=ssl.create_default_context() if secure else False,
        )

    async def infer(
        self,
        image: bytes,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """See `Transport.infer`."""
        from aiohttp import ClientConnectionError, ClientError
        from tritonclient.utils import InferenceServerException

        try:
            async with asyncio.timeout(timeout):
                result = await self._client.infer(
                    MODEL,
                    _inputs(self._protocol, image, score_threshold),
                    outputs=[self._protocol.InferRequestedOutput(name) for name in outputs],
                )
        except InferenceServerException as error:
            raise _error_for(error, self._server, timeout) from error
        except TimeoutError as error:
            raise _deadline(self._server, timeout) from error
        except ClientConnectionError as error:
            raise _unavailable(self._server, str(error)) from error
        except (ClientError, ValueError) as error:
            words = (str(error).splitlines() or [""])[0]
            raise InferenceError(f"{self._server} does not answer like a Triton server: {words}") from error
        return {name: result.as_numpy(name) for name in outputs}

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """See `Transport.is_ready`."""
        from aiohttp import ClientError

        try:
            async with asyncio.timeout(timeout):
                return bool(await self._client.is_model_ready(MODEL))
        except (ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.close()


def _inputs(protocol: ModuleType, image: bytes, score_threshold: float | None) -> list[Any]:
    import numpy as np

    # dtype object: NumPy's own bytes type drops trailing zeros
    tensors = [protocol.InferInput("IMAGE", [1], "BYTES")]
    tensors[0].set_data_from_numpy(np.array([image], dtype=np.object_))
    if score_threshold is not None:
        tensors.append(protocol.InferInput("SCORE_THRESHOLD", [1], "FP32"))
        tensors[1].set_data_from_numpy(np.array([score_threshold], dtype=np.float32))
    return tensors


def _error_for(error: Any, server: str, timeout: float | None) -> VFNetClientError:
    """One of our errors for tritonclient's, whose status is gRPC's word or HTTP's number."""
    status = str(error.status()).removeprefix("StatusCode.")
    reason = _ENSEMBLE_PREFIX.sub("", " ".join(str(error.message()).split()))
    if status in ("INVALID_ARGUMENT", "400"):
        return InvalidImageError(reason)
    if status in ("RESOURCE_EXHAUSTED", "429") or (status in ("UNAVAILABLE", "503") and _BUSY.search(reason)):
        return ServerBusyError(f"the server at {server} is busy: {reason}")
    if status in ("UNAVAILABLE", "NOT_FOUND", "404", "502", "503"):
        return _unavailable(server, reason)
    if status in ("DEADLINE_EXCEEDED", "504"):
        return _deadline(server, timeout)
    return InferenceError(f"the server at {server} failed: {reason}")


def _unavailable(server: str, reason: str) -> ServerUnavailableError:
    return ServerUnavailableError(f"no VFNet is ready at {server}: {reason}")


def _deadline(server: str, timeout: float | None) -> DeadlineExceededError:
    within = "in time" if timeout is None else f"within {timeout:g} s"
    return DeadlineExceededError(f"no answer from {server} {within}")
