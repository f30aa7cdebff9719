"""One image asked for over gRPC, Triton's HTTP and `/score`, under gevent; each returns the image's `DETECTIONS`."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

from gevent import Timeout
from geventhttpclient import HTTPClient

from vfnet_client.grpc_transport import CHANNEL_ARGUMENTS, infer_inputs
from vfnet_client.model_names import MODEL
from vfnet_load.http_requests import HTTPRequest, score_request, triton_request
from vfnet_load.pictures import Picture
from vfnet_load.targets import Targets

_OUTPUTS = ("DETECTIONS",)
_MOST_CONNECTIONS = 10_000
_LONGEST_REASON = 110


class NotAnsweredError(Exception):
    """`str(error)` is the reason, short and without the numbers that differ each time: it is counted."""


class Call(ABC):
    """One way in, for all users of a process."""

    def __init__(self, targets: Targets, timeout: float) -> None:
        """`timeout`: seconds for an answer."""
        self.targets, self.timeout = targets, timeout

    @abstractmethod
    def ask(self, picture: Picture) -> bytes:
        """The answer's `DETECTIONS`. Raises NotAnsweredError."""


class GRPCCall(Call):
    """KServe v2 over gRPC, by tritonclient."""

    def __init__(self, targets: Targets, timeout: float) -> None:
        super().__init__(targets, timeout)
        # Under gevent a process is started by a fork in which Python runs before the new program does. By default gRPC
        # starts its threads again in that fork, where their descriptors are being closed: one of ten to twenty aborts.
        # Locust's own forks, its workers, come before gRPC is imported.
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
        import grpc.experimental.gevent
        import tritonclient.grpc as protocol

        grpc.experimental.gevent.init_gevent()
        self._protocol = protocol
        self._client = protocol.InferenceServerClient(targets.grpc, channel_args=CHANNEL_ARGUMENTS)
        self._inputs = cache(lambda picture: infer_inputs(protocol, picture.jpeg))
        self._outputs = [protocol.InferRequestedOutput(name) for name in _OUTPUTS]

    def ask(self, picture: Picture) -> bytes:
        """See `Call.ask`."""
        from tritonclient.utils import InferenceServerException

        try:
            result = self._client.infer(
                MODEL, self._inputs(picture), outputs=self._outputs, client_timeout=self.timeout
            )
        except InferenceServerException as error:
            status = str(error.status()).removeprefix("StatusCode.")
            raise NotAnsweredError(_reason(status, str(error.message()))) from None
        answer: bytes = result.as_numpy("DETECTIONS")[0]
        return answer


class _HTTPCall(Call):
    """A POST on a kept connection, of which there are as many as are needed at once."""

    def __init__(self, targets: Targets, timeout: float, address: str) -> None:
        super().__init__(targets, timeout)
        self._client = HTTPClient.from_url(
            address, concurrency=_MOST_CONNECTIONS, connection_timeout=timeout, network_timeout=timeout
        )
        self._prepared = cache(self.prepare)

    def ask(self, picture: Picture) -> bytes:
        """See `Call.ask`."""
        request = self._prepared(picture)
        try:
            with Timeout(self.timeout, TimeoutError("no answer in time")):
                response = self._client.post(request.path, body=request.body, headers=request.headers)
                content = bytes(response.read())
        except (OSError, TimeoutError) as error:
            raise NotAnsweredError(_reason(type(error).__name__, str(error))) from None
        if response.status_code != 200:
            raise NotAnsweredError(_reason(str(response.status_code), _message(content)))
        return self.detections(content)

    @abstractmethod
    def prepare(self, picture: Picture) -> HTTPRequest:
        """What is posted."""

    @abstractmethod
    def detections(self, content: bytes) -> bytes:
        """What was detected, of a 200's body."""


class TritonHTTPCall(_HTTPCall):
    """KServe v2 over HTTP."""

    def __init__(self, targets: Targets, timeout: float) -> None:
        super().__init__(targets, timeout, targets.triton_http)

    def prepare(self, picture: Picture) -> HTTPRequest:
        """See `triton_request`."""
        return triton_request(picture.jpeg)

    def detections(self, content: bytes) -> bytes:
        """The one element of the one output."""
        text: str = json.loads(content)["outputs"][0]["data"][0]
        return text.encode()


class ScoreCall(_HTTPCall):
    """The gateway's `/score`, one image a request."""

    def __init__(self, targets: Targets, timeout: float) -> None:
        super().__init__(targets, timeout, targets.gateway)

    def prepare(self, picture: Picture) -> HTTPRequest:
        """See `score_request`."""
        return score_request(picture.jpeg)

    def detections(self, content: bytes) -> bytes:
        """The one entry of the list, as the server sent it."""
        return content.strip()[1:-1]


def _message(content: bytes) -> str:
    try:
        document: Any = json.loads(content)
        return str(document.get("error") or document.get("message") or document)
    except (ValueError, AttributeError):
        return content[:_LONGEST_REASON].decode(errors="replace")


def _reason(status: str, message: str) -> str:
    words = re.sub(r"\d+", "N", " ".join(message.split()))
    return f"{status}: {words[:_LONGEST_REASON]}"
