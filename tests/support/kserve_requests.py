"""KServe v2 requests for one strip, as parts that a test may spoil."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import httpx
from tritonclient.grpc import service_pb2

from gateway_process import RunningGateway
from score_requests import strip_png

INFER = "/v2/models/vfnet/infer"
SERVICE = "/inference.GRPCInferenceService/"
STRIP = strip_png()


def tensor(image: bytes = STRIP) -> bytes:
    """A BYTES tensor of one element, in binary form."""
    return len(image).to_bytes(4, "little") + image


def binary_input(size: int | None = None, **more: Any) -> dict[str, Any]:
    """IMAGE, whose bytes follow the JSON."""
    size = len(tensor()) if size is None else size
    return {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}, **more}


def base64_input(image: bytes = STRIP, **more: Any) -> dict[str, Any]:
    """IMAGE in the JSON."""
    data = [base64.b64encode(image).decode()]
    parameters = {"content_type": "base64"}
    return {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "parameters": parameters, "data": data, **more}


def threshold_input(value: Any = 0.5, **more: Any) -> dict[str, Any]:
    """SCORE_THRESHOLD in the JSON."""
    return {"name": "SCORE_THRESHOLD", "shape": [1], "datatype": "FP32", "data": [value], **more}


def post_json(client: httpx.Client, document: Any, path: str = INFER, **options: Any) -> httpx.Response:
    """A request that is JSON alone."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return client.post(path, content=content, **{"headers": {"content-type": "application/json"}, **options})


def post_binary(
    client: httpx.Client, head: Any, tail: bytes, length: object = None, path: str = INFER
) -> httpx.Response:
    """JSON and the bytes of tensors after it; `length` is what the header says of the JSON's, the truth if None."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    said = str(len(text) if length is None else length)
    headers = {"inference-header-content-length": said, "content-type": "application/octet-stream"}
    return client.post(path, content=text + tail, headers=headers)


def infer_message(
    image: bytes = STRIP, outputs: Sequence[str] = ("DETECTIONS",), model: str = "vfnet", **fields: Any
) -> Any:
    """A `ModelInferRequest`."""
    message = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[tensor(image)], **fields)
    message.inputs.add(name="IMAGE", datatype="BYTES", shape=[1])
    for name in outputs:
        message.outputs.add(name=name)
    return message


def channel(gateway: RunningGateway, **arguments: int) -> grpc.Channel:
    """A connection of its own to the gateway's gRPC port."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    options += [(f"grpc.{name}", value) for name, value in arguments.items()]
    return grpc.insecure_channel(gateway.grpc_authority, options=options)


def call(
    gateway: RunningGateway,
    method: str,
    message: Any,
    *,
    metadata: Mapping[str, str] | None = None,
    timeout: float = 30,
    **options: Any,
) -> bytes:
    """The bytes of an answer to a message, which may be bytes that are none; raises grpc.RpcError."""
    content = message if isinstance(message, bytes) else message.SerializeToString()
    path = method if method.startswith("/") else SERVICE + method
    with channel(gateway) as opened:
        answer: bytes = opened.unary_unary(path)(
            content, metadata=tuple((metadata or {}).items()), timeout=timeout, **options
        )
        return answer


def refusal(gateway: RunningGateway, method: str, message: Any, **options: Any) -> tuple[str, str]:
    """The code and the words with which a call is refused."""
    try:
        call(gateway, method, message, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"{method} was answered")


def answer_of(gateway: RunningGateway) -> tuple[bytes, bytes]:
    """What a sound request is answered over gRPC and over REST: never changed by what others sent."""
    response = service_pb2.ModelInferResponse.FromString(call(gateway, "ModelInfer", infer_message()))
    with gateway.client() as client:
        reply = post_json(client, {"inputs": [base64_input()], "outputs": [{"name": "DETECTIONS"}]})
    assert reply.status_code == 200, reply.text
    return response.raw_output_contents[0][4:], reply.json()["outputs"][0]["data"][0].encode()
