"""One picture, asked for again and again by both ways, whose answer must stay the same to the last bit."""

from __future__ import annotations

import base64
import http.client
import io
import json
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2 as kserve

from deployment import Deployment
from score_requests import strip_png

_OUTPUTS = ("BOXES", "SCORES", "LABELS")
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.use_local_subchannel_pool", 1),
)


class NoAnswerError(Exception):
    """It was refused or lost; `str()` says how."""


@dataclass(frozen=True)
class Reference:
    """A picture and its answers."""

    image: bytes
    tensors: bytes
    """Of Triton, over gRPC."""
    document: bytes
    """Of the gateway, at /score."""
    boxes: int

    @property
    def score_body(self) -> bytes:
        """The request for /score."""
        return json.dumps(
            {"input_data": {"columns": ["image"], "data": [base64.b64encode(self.image).decode()]}}
        ).encode()


class GRPCCaller:
    """Asks a KServe v2 port, Triton's or the gateway's, over one connection that is made again when lost."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_CHANNEL_OPTIONS)
        self._infer = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=kserve.ModelInferRequest.SerializeToString,
            response_deserializer=kserve.ModelInferResponse.FromString,
        )

    def ask(self, image: bytes, timeout: float) -> bytes:
        """The tensors' bytes.

        Raises:
            NoAnswerError: an error came, or nothing.
        """
        try:
            answer = self._infer(infer_request(image), timeout=timeout)
        except grpc.RpcError as error:
            raise NoAnswerError(f"{error.code().name}: {error.details()}") from None
        return b"".join(answer.raw_output_contents)

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()


def infer_request(image: bytes, model: str = "vfnet", outputs: tuple[str, ...] = _OUTPUTS) -> kserve.ModelInferRequest:
    """What a well-behaved client sends."""
    message = kserve.ModelInferRequest(model_name=model)
    message.inputs.add(name="IMAGE", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(len(image).to_bytes(4, "little") + image)
    for name in outputs:
        message.outputs.add(name=name)
    return message


def ask_score(port: int, body: bytes, timeout: float) -> bytes:
    """/score's answer over a connection of its own.

    Raises:
        NoAnswerError: an error came, or nothing.
        ConnectionError: nobody listens, or whoever did has gone.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/score", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except (http.client.HTTPException, ConnectionError) as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from None
    except OSError as error:
        raise NoAnswerError(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NoAnswerError(f"{answer.status}: {text[:300].decode('utf-8', 'replace')}")
    return text


def take_reference(deployment: Deployment, pictures: tuple[bytes, ...] = ()) -> Reference:
    """The first of these pictures, or of the usual ones, in which something is detected.

    Raises:
        AssertionError: there is nothing in any.
    """
    caller = GRPCCaller(deployment.grpc_port)
    try:
        for image in (*pictures, strip_png()):
            tensors = caller.ask(image, 60)
            boxes = tensors_boxes(tensors)
            if boxes:
                found = Reference(image, tensors, b"", boxes)
                document = ask_score(deployment.score_port, found.score_body, 60)
                return Reference(image, tensors, document, boxes)
    finally:
        caller.close()
    raise AssertionError("nothing is detected in any picture")


def tensors_boxes(tensors: bytes) -> int:
    """How many boxes there are in BOXES [n, 4], SCORES [n] and LABELS [n] of four bytes each."""
    return len(tensors) // (4 * 6)


def strips_of(picture: Path, height: int = 96) -> tuple[bytes, ...]:
    """Strips over the whole width of a picture, as PNG: what is resized to a fraction of the network's usual work."""
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    strips = []
    for top in range(0, pixels.shape[0] - height + 1, height // 2):
        out = io.BytesIO()
        Image.fromarray(pixels[top : top + height]).save(out, "PNG")
        strips.append(out.getvalue())
    return tuple(strips)
