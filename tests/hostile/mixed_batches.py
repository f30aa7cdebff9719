"""Good and bad requests in the same batches: the good ones' answers must be to the bit what they are alone."""

from __future__ import annotations

import base64
import http.client
import io
import json
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2 as kserve

from attack import DOOR, PATIENCE, TRITON, Attack, AttackList, Reply, grpc_port
from deployment import Deployment
from malformed_tensors import Tensors, image_request
from score_requests import GOOD, strip_png
from sweeping import AS_ALLOWED, SWEPT, together

_OUTPUTS = ("DETECTIONS", "BOXES", "SCORES", "LABELS")
_ROUNDS = 3
_BUSY = ("Exceeds maximum queue size", "busy", "try again")
"""In the words of Triton and of the gateway: no answer, and no wrong one."""
_SIZES = (
    (1, 1),
    (1, 64),
    (64, 1),
    (1333, 31),
    (1333, 33),
    (1300, 32),
    (2000, 21),
    (700, 9),
    (31, 900),
    (40, 1200),
    (333, 8),
)
"""Width and height: canvases whose sides are one to a few blocks of the network's convolutions, and odd numbers of them."""

Ask = Callable[[Deployment], bytes | None]
"""The answer's bytes; None where it was refused or the server was busy."""


def mixed_batch_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("mixed batches")
    for target in (TRITON, DOOR):
        good = [_grpc(target, tensors) for tensors in _good()]
        # Those that are refused also ask to be told more, which nobody else's answer may show.
        bad = [_grpc(target, tensors, ("x-vfnet-about", "origin,steps")) for tensors in _bad()]
        found.add("options and damaged images, gRPC", target, _mixed(good, bad, 10), **SWEPT)
        sizes = [_grpc(target, image_request(_picture(width, height))) for width, height in _SIZES]
        found.add("images of many sizes, gRPC", target, _mixed(sizes, bad[:4], 10), **SWEPT)
    found.add("options and tiles, /score", DOOR, _mixed(*_score_bodies(), at_once=16), **SWEPT)
    found.add("options and damaged images, KServe over HTTP", DOOR,
              _mixed([_rest(tensors) for tensors in _good()], [_rest(tensors) for tensors in _bad()], 16), **SWEPT)  # fmt: skip
    return found.attacks


def _mixed(good: list[Ask], bad: list[Ask], at_once: int) -> Callable[[Deployment], Reply]:
    """Each good one alone, then with others of both kinds, so many at a time, in another order each round."""

    def send(deployment: Deployment) -> Reply:
        alone = [ask(deployment) for ask in good]
        if None in alone:
            return Reply("a good one is refused", f"number {alone.index(None)}")
        expected: list[bytes | None] = [*alone, *([None] * len(bad))]
        answers = busy = 0
        for turn in range(_ROUNDS):
            order = np.random.default_rng(turn).permutation(np.arange(len(expected)).repeat(2)).tolist()
            for start in range(0, len(order), at_once):
                some = order[start : start + at_once]
                each = [lambda ask=[*good, *bad][number]: ask(deployment) for number in some]
                for number, answer in zip(some, together(each, 60), strict=True):
                    if answer is None:
                        busy += expected[number] is not None
                    elif answer != expected[number]:
                        return Reply("another answer than alone", f"number {number}")
                    else:
                        answers += 1
        if busy > answers // 4:
            return Reply("the good ones were refused", f"{busy} of {busy + answers}")
        return Reply(AS_ALLOWED, f"{answers} as alone, {busy} told to ask again")

    return send


def _picture(width: int, height: int) -> bytes:
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    return out.getvalue()


def _good() -> list[Tensors]:
    return [
        image_request(),
        image_request().add("MAX_DETECTIONS", np.full(1, 3, np.int32)),
        image_request().add("MAX_DETECTIONS", np.full(1, 1000, np.int32)).add("NMS_IOU", np.ones(1, np.float32)),
        image_request().add("NMS_IOU", np.zeros(1, np.float32)),
        image_request().add("CLASSES", [b"can"], "BYTES", [1]),
        image_request().add("CLASSES", [b"3", b"carton"], "BYTES", [2]),
        image_request().add("SCORE_THRESHOLD", np.full(1, 0.3, np.float32)),
        image_request(strip_png(99)),
    ]


def _bad() -> list[Tensors]:
    image = strip_png()
    return [
        image_request(image[: len(image) // 2]),
        image_request(b"\xff\xd8\xff\xe0 no JPEG"),
        image_request().add("NMS_IOU", np.full(1, np.nan, np.float32)),
        image_request().add("CLASSES", [b"none of these"], "BYTES", [1]),
        image_request().add("CLASSES", [b"\xff\xfe"], "BYTES", [1]),
        image_request().add("MAX_DETECTIONS", np.full(1, -1, np.int32)),
        image_request().add("SCORE_THRESHOLD", np.full(1, 2, np.float32)),
        image_request(b""),
    ]


def _grpc(target: str, tensors: Tensors, *metadata: tuple[str, str]) -> Ask:
    message = tensors.as_grpc()
    for name in _OUTPUTS:
        message.outputs.add(name=name)

    def ask(deployment: Deployment) -> bytes | None:
        with grpc.insecure_channel(
            f"127.0.0.1:{grpc_port(deployment, target)}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=kserve.ModelInferRequest.SerializeToString,
                response_deserializer=kserve.ModelInferResponse.FromString,
            )
            try:
                return b"|".join(infer(message, timeout=PATIENCE, metadata=metadata).raw_output_contents)
            except grpc.RpcError as error:
                return _refusal(error.code().name in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), error.details() or "")

    return ask


def _refusal(is_callers: bool, told: str) -> bytes | None:
    """None where that may be said; else what was said, which is no right answer."""
    return None if is_callers or any(words in told for words in _BUSY) else told.encode()


def _rest(tensors: Tensors) -> Ask:
    head, _, body = tensors.as_binary_http().partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return _posted(
        "/v2/models/vfnet/infer", body, {name: lines[name] for name in lines if name not in ("Host", "Content-Length")}
    )


def _posted(path: str, body: bytes, headers: dict[str, str]) -> Ask:
    def ask(deployment: Deployment) -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", deployment.score_port, timeout=60)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return text if answer.status == 200 else _refusal(400 <= answer.status < 500, text[:300].decode())

    return ask


def _score_bodies() -> tuple[list[Ask], list[Ask]]:
    def body(params: Any, *images: str) -> Ask:
        document = {"input_data": {"columns": ["image"], "data": list(images)}, "params": params}
        return _posted("/score", json.dumps(document).encode(), {"Content-Type": "application/json"})

    cut = base64.b64encode(strip_png()[: len(strip_png()) // 2]).decode()
    good = [
        body({}, GOOD),
        body({"tile_size": "900x32"}, GOOD),
        body({"tile_grid_size": "2x1", "max_detections": 7}, GOOD),
        body({"nms_iou": 0.9, "classes": ["can"]}, GOOD, GOOD),
        body({"max_detections": 1000, "nms_iou": 1}, GOOD),
    ]
    bad = [
        body({"tile_size": "16x16"}, GOOD),
        body({"tile_size": "900x32", "classes": ["none of these"]}, GOOD),
        body({"max_detections": 1001}, GOOD, GOOD, GOOD),
        body({"tile_grid_size": "2x1"}, cut),
        body({"nms_iou": 1e300}, GOOD),
    ]
    return good, bad
