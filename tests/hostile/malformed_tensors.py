"""Tensors that are not what the models' contracts say, in every protocol, for all four models."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as kserve

from attack import (
    DOOR,
    TRITON,
    Allowed,
    Attack,
    AttackList,
    Reply,
    answered,
    call,
    grpc_call,
    grpc_port,
    http,
    post_json,
    refused,
    request,
)
from deployment import Deployment
from reference_answers import infer_request
from score_requests import strip_png

_DTYPES = {"uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32"}
_CLASSIFICATION = (
    "the classification extension on a BYTES output is Triton's own C++ (2.51), which reads it before any model does; "
    "callers that are not trusted reach the gateway only"
)


@dataclass
class Tensors:
    """One inference request, as data that each protocol can write."""

    model: str
    inputs: list[tuple[str, str, list[int], Any]] = field(default_factory=list)
    """Name, data type, shape, and what it holds: an array, or a list of bytes."""
    outputs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Name and parameters."""
    parameters: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    def add(self, name: str, value: Any, datatype: str = "", shape: list[int] | None = None) -> Tensors:
        """One input more; of an array the data type and the shape need not be said."""
        kind = datatype or _DTYPES[str(value.dtype)]
        self.inputs.append((name, kind, list(value.shape) if shape is None else shape, value))
        return self

    def as_grpc(self) -> Any:
        """A ModelInferRequest."""
        message = kserve.ModelInferRequest(model_name=self.model, model_version=self.version)
        for name, datatype, shape, value in self.inputs:
            message.inputs.add(name=name, datatype=datatype, shape=shape)
            message.raw_input_contents.append(_raw(value))
        for name, parameters in self.outputs:
            output = message.outputs.add(name=name)
            for key, each in parameters.items():
                _set_parameter(output.parameters[key], each)
        for key, each in self.parameters.items():
            _set_parameter(message.parameters[key], each)
        return message

    def as_binary_http(self) -> bytes:
        """A request with the binary extension."""
        contents = [_raw(value) for *_, value in self.inputs]
        document: dict[str, Any] = {
            "inputs": [
                {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
                for (name, datatype, shape, _), raw in zip(self.inputs, contents, strict=True)
            ]
        }
        return self._post(document, b"".join(contents))

    def as_json_http(self) -> bytes:
        """A request all of JSON."""
        document: dict[str, Any] = {
            "inputs": [
                {"name": name, "datatype": datatype, "shape": shape, "data": _listed(value)}
                for name, datatype, shape, value in self.inputs
            ]
        }
        return self._post(document, None)

    def _post(self, document: dict[str, Any], binary: bytes | None) -> bytes:
        if self.outputs:
            document["outputs"] = [{"name": name, "parameters": each} for name, each in self.outputs]
        if self.parameters:
            document["parameters"] = self.parameters
        version = f"/versions/{self.version}" if self.version else ""
        head = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        if binary is not None:
            headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        return request("POST", f"/v2/models/{self.model}{version}/infer", head + (binary or b""), headers)


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"".join(len(each).to_bytes(4, "little") + each for each in value)
    return np.ascontiguousarray(value).tobytes()


def _listed(value: Any) -> Any:
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, list):
        return [each.decode("latin-1") for each in value]
    return [
        None if isinstance(each, float) and not math.isfinite(each) else each for each in value.reshape(-1).tolist()
    ]


def _set_parameter(parameter: Any, value: Any) -> None:
    kind = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[type(value)]
    setattr(parameter, kind, value)


def image_request(image: bytes | None = None) -> Tensors:
    """What `vfnet` wants."""
    return Tensors("vfnet", [("IMAGE", "BYTES", [1], [strip_png() if image is None else image])])


def detector_request(pixels: np.ndarray, valid: tuple[int, ...] = (32, 32)) -> Tensors:
    """What `vfnet_detector` wants."""
    return Tensors("vfnet_detector").add("PIXELS", pixels).add("VALID_SHAPE", np.array([valid], np.int32))


def postprocess_request(count: int = 4, **changes: np.ndarray) -> Tensors:
    """What `vfnet_postprocess` wants, with other inputs or more of them."""
    tensors = {
        "CANDIDATE_BOXES": np.tile(np.array([1, 2, 30, 40], np.float32), (1, count, 1)),
        "CANDIDATE_SCORES": np.full((1, count), 0.5, np.float32),
        "CANDIDATE_LABELS": np.zeros((1, count), np.int32),
        "GEOMETRY": np.array([[64, 64, 1, 1]], np.float32),
    } | changes
    made = Tensors("vfnet_postprocess")
    for name, value in tensors.items():
        made.add(name, value)
    return made


def tensor_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("tensors")
    for name, tensors, allowed in [*_of_the_ensemble(), *_of_the_steps()]:
        _in_every_protocol(found, name, tensors, allowed)
    for name, message in _grpc_messages():
        by_triton = answered if name in _TRITON_FORGIVES else refused_by_parser
        found.add(f"gRPC, {name}", DOOR, grpc_call(DOOR, "ModelInfer", message))
        found.add(f"gRPC, {name}", TRITON, grpc_call(TRITON, "ModelInfer", message), allowed=by_triton)
    for name, data in _http_messages():
        found.add(f"HTTP, {name}", DOOR, http(DOOR, data))
        found.add(f"HTTP, {name}", TRITON, http(TRITON, data), allowed=refused_by_parser)
    _add_classification(found)
    _add_direct_calls_of_steps(found)
    return found.attacks


def _in_every_protocol(found: AttackList, name: str, tensors: Tensors, allowed: Allowed) -> None:
    forgiving = name in _TRITON_FORGIVES
    name = f"{tensors.model}: {name}"
    # The steps are Triton's alone: the door knows `vfnet`.
    targets = (TRITON, DOOR) if tensors.model == "vfnet" else (TRITON,)
    for target in targets:
        if target == TRITON and forgiving:
            expected, by_http = answered, _answered_or_refused_by_parser
        elif target == TRITON and allowed is refused:
            expected, by_http = refused, refused_by_parser
        else:
            expected = by_http = allowed
        found.add(f"{name}, gRPC", target, grpc_call(target, "ModelInfer", tensors.as_grpc()), allowed=expected)
        found.add(f"{name}, binary", target, http(target, tensors.as_binary_http()), allowed=by_http)
        if all(not isinstance(value, np.ndarray) or value.size < 10_000 for *_, value in tensors.inputs):
            found.add(f"{name}, JSON", target, http(target, tensors.as_json_http()), allowed=by_http)


_TRITON_FORGIVES = ("timeout -1", "model with NUL", "more contents than inputs")
"""What Triton reads as another number, or up to the NUL, and serves; nobody is worse off. The door refuses it."""


def refused_by_parser(reply: Reply) -> bool:
    """Triton's servers (2.51) say 500, or INTERNAL, of what they cannot parse, before any model is asked."""
    return refused(reply) or "Unable to parse" in reply.text or "failed to parse" in reply.text


def _answered_or_refused_by_parser(reply: Reply) -> bool:
    return answered(reply) or refused_by_parser(reply)


def _of_the_ensemble() -> list[tuple[str, Tensors, Allowed]]:
    image = strip_png()

    def with_threshold(*values: float, datatype: str = "FP32", shape: list[int] | None = None) -> Tensors:
        return image_request().add("SCORE_THRESHOLD", np.array(values, np.float32), datatype, shape)

    def with_option(name: str, datatype: str, shape: list[int], value: Any) -> Tensors:
        return image_request().add(name, value, datatype, shape)

    def input_of(datatype: str, shape: list[int], value: Any, name: str = "IMAGE") -> Tensors:
        return Tensors("vfnet", [(name, datatype, shape, value)])

    def parameter(**parameters: Any) -> Tensors:
        made = image_request()
        made.parameters = parameters
        return made

    def output(*outputs: tuple[str, dict[str, Any]]) -> Tensors:
        made = image_request()
        made.outputs = list(outputs)
        return made

    wrong: list[tuple[str, Tensors]] = [
        ("no input", Tensors("vfnet")),
        ("empty image", image_request(b"")),
        ("no image", image_request(b"not an image")),
        ("nul bytes", image_request(bytes(1000))),
        ("half an image", image_request(image[: len(image) // 2])),
        ("SVG", image_request(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>")),
        ("PostScript", image_request(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n")),
        ("a path", image_request(b"/etc/passwd")),
        ("a URL", image_request(b"http://127.0.0.1:1/x.png")),
        ("two images in one request", input_of("BYTES", [2], [image, image])),
        ("no element", input_of("BYTES", [0], [])),
        ("a batch", input_of("BYTES", [1, 1], [image])),
        ("scalar shape", input_of("BYTES", [], [image])),
        ("shape -1", input_of("BYTES", [-1], [image])),
        ("shape of 2^62", input_of("BYTES", [2**62], [image])),
        ("shape whose product overflows", input_of("BYTES", [2**32, 2**32], [image])),
        ("shape of 1,000 dimensions", input_of("BYTES", [1] * 1000, [image])),
        ("image as UINT8", input_of("UINT8", [len(image)], image)),
        ("image as FP32", input_of("FP32", [1], np.zeros(1, np.float32))),
        ("image as BOOL", input_of("BOOL", [1], b"\1")),
        ("unknown data type", input_of("STRING", [1], [image])),
        ("data type of 100,000 letters", input_of("X" * 100_000, [1], [image])),
        ("input of another name", input_of("PICTURE", [1], [image], "PICTURE")),
        ("input named nothing", input_of("BYTES", [1], [image], "")),
        ("input twice", Tensors("vfnet", [("IMAGE", "BYTES", [1], [image])] * 2)),
        ("one input too many", image_request().add("TICKET", np.ones((1, 1), np.int64))),
        ("pixels for the ensemble", image_request().add("PIXELS", np.zeros((1, 32, 32, 3), np.uint8))),
        ("length prefix beyond the data", input_of("BYTES", [1], b"\xff\xff\xff\x7f" + image)),
        ("length prefix of 2^32-1", input_of("BYTES", [1], b"\xff\xff\xff\xff" + image)),
        ("length prefix cut off", input_of("BYTES", [1], b"\x01\x00")),
        ("bytes after the element", input_of("BYTES", [1], [image, b"more"])),
        ("no bytes at all", input_of("BYTES", [1], b"")),
        ("threshold NaN", with_threshold(math.nan)),
        ("threshold infinite", with_threshold(math.inf)),
        ("threshold -1", with_threshold(-1.0)),
        ("threshold 1.5", with_threshold(1.5)),
        ("two thresholds", with_threshold(0.5, 0.6)),
        ("no threshold", with_threshold(shape=[0])),
        ("threshold as INT32", with_threshold(0.5, datatype="INT32")),
        ("threshold as FP64 of half the bytes", with_threshold(0.5, datatype="FP64")),
        ("threshold as BYTES", with_threshold(0.5, datatype="BYTES")),
        ("no class", with_option("CLASSES", "BYTES", [0], [])),
        ("200,000 classes", with_option("CLASSES", "BYTES", [200_000], [b"can"] * 200_000)),
        ("class of a megabyte", with_option("CLASSES", "BYTES", [1], [b"can" * 400_000])),
        ("class of no UTF-8", with_option("CLASSES", "BYTES", [1], [b"\xff\xfe"])),
        ("class with line ends", with_option("CLASSES", "BYTES", [1], [b"a\r\nb\x1b[31m"])),
        ("class of another number", with_option("CLASSES", "BYTES", [1], [b"9" * 1000])),
        ("classes cut off", with_option("CLASSES", "BYTES", [2], b"\x03\x00\x00\x00can\x03")),
        ("classes as INT32", with_option("CLASSES", "INT32", [1], np.zeros(1, np.int32))),
        ("0 detections", with_option("MAX_DETECTIONS", "INT32", [1], np.zeros(1, np.int32))),
        ("2^31-1 detections", with_option("MAX_DETECTIONS", "INT32", [1], np.full(1, 2**31 - 1, np.int32))),
        ("-2^31 detections", with_option("MAX_DETECTIONS", "INT32", [1], np.full(1, -(2**31), np.int32))),
        ("two numbers of detections", with_option("MAX_DETECTIONS", "INT32", [2], np.ones(2, np.int32))),
        ("IoU NaN", with_option("NMS_IOU", "FP32", [1], np.full(1, np.nan, np.float32))),
        ("IoU infinite", with_option("NMS_IOU", "FP32", [1], np.full(1, -np.inf, np.float32))),
        ("IoU 1.5", with_option("NMS_IOU", "FP32", [1], np.full(1, 1.5, np.float32))),
        ("unknown output", output(("NOTHING", {}))),
        ("an inner output", output(("TICKET", {}))),
        ("shared memory of an unknown region", output(("BOXES", {"shared_memory_region": "r", "shared_memory_byte_size": 64}))),
        ("image from an unknown region", parameter(shared_memory_region="r", shared_memory_byte_size=64)),
        ("a sequence", parameter(sequence_id=7, sequence_start=True)),
        ("priority -1", parameter(priority=-1)),
        ("timeout -1", parameter(timeout=-1)),
        ("timeout as text", parameter(timeout="soon")),
        ("version 999", Tensors("vfnet", image_request().inputs, version="999")),
        ("version -1", Tensors("vfnet", image_request().inputs, version="-1")),
        ("version of letters", Tensors("vfnet", image_request().inputs, version="one")),
        ("unknown model", Tensors("stranger", image_request().inputs)),
        ("model of dots", Tensors("..", image_request().inputs)),
        ("model of a path", Tensors("../vfnet_detector", image_request().inputs)),
        ("model with NUL", Tensors("vfnet\0", image_request().inputs)),
        ("model of 100,000 letters", Tensors("v" * 100_000, image_request().inputs)),
    ]  # fmt: skip
    odd: list[tuple[str, Tensors]] = [
        ("threshold 1e-45", with_threshold(1e-45)),
        ("output twice", output(("BOXES", {}), ("BOXES", {}))),
        ("priority 9", parameter(priority=9)),
        ("timeout of centuries", parameter(timeout=2**62)),
        ("unknown parameters", parameter(stranger="yes", other=1)),
        ("parameter named like a header", parameter(**{"vfnet-control": "x", "traceparent": "00"})),
        ("parameter of 1 MB", parameter(note="x" * 1_000_000)),
        ("1,000 parameters", parameter(**{f"p{i}": i for i in range(1000)})),
    ]
    return [(name, each, _wrong_model(each)) for name, each in wrong] + [(name, each, answered) for name, each in odd]


def _wrong_model(tensors: Tensors) -> Allowed:
    """`refused`, but where the protocol itself has no words for what is wrong."""
    if any("shared_memory_region" in key for key in tensors.parameters) or "sequence_id" in tensors.parameters:
        return answered  # parameters of the request that mean nothing there
    return refused


def _of_the_steps() -> list[tuple[str, Tensors, Allowed]]:
    nothing = np.zeros((1, 0, 0, 3), np.uint8)
    wrong: list[tuple[str, Tensors]] = [
        ("no image", Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [1], [b"nothing"])])),
        ("empty image", Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [1], [b""])])),
        ("two images", Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [2], [strip_png()] * 2)])),
        ("no element", Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [0], [])])),
        ("pixels of 0x0", detector_request(nothing)),
        ("pixels of 0x32", detector_request(np.zeros((1, 0, 32, 3), np.uint8))),
        ("pixels of 32x0", detector_request(np.zeros((1, 32, 0, 3), np.uint8))),
        ("no image of 32x32", detector_request(np.zeros((0, 32, 32, 3), np.uint8))),
        ("two images", detector_request(np.zeros((2, 32, 32, 3), np.uint8))),
        ("pixels of 31x33", detector_request(np.zeros((1, 31, 33, 3), np.uint8), (31, 33))),
        ("pixels of 1x1", detector_request(np.zeros((1, 1, 1, 3), np.uint8), (1, 1))),
        ("four channels", detector_request(np.zeros((1, 32, 32, 4), np.uint8))),
        ("one channel", detector_request(np.zeros((1, 32, 32, 1), np.uint8))),
        ("pixels of 8192x8192", detector_request(np.zeros((1, 8192, 8192, 3), np.uint8), (8192, 8192))),
        ("pixels of 32x131072", detector_request(np.zeros((1, 32, 131_072, 3), np.uint8), (32, 131_072))),
        ("valid shape of 0", detector_request(np.zeros((1, 32, 32, 3), np.uint8), (0, 0))),
        ("valid shape negative", detector_request(np.zeros((1, 32, 32, 3), np.uint8), (-5, 32))),
        ("valid shape beyond the canvas", detector_request(np.zeros((1, 32, 32, 3), np.uint8), (64, 64))),
        ("valid shape of 2^31-1", detector_request(np.zeros((1, 32, 32, 3), np.uint8), (2**31 - 1, 2**31 - 1))),
        ("valid shape of three numbers", detector_request(np.zeros((1, 32, 32, 3), np.uint8), (32, 32, 3))),
        ("pixels as FP32", Tensors("vfnet_detector").add("PIXELS", np.zeros((1, 32, 32, 3), np.float32)).add(
            "VALID_SHAPE", np.array([[32, 32]], np.int32))),
        ("no valid shape", Tensors("vfnet_detector").add("PIXELS", np.zeros((1, 32, 32, 3), np.uint8))),
        ("fewer bytes than the shape", Tensors("vfnet_detector", [("PIXELS", "UINT8", [1, 64, 64, 3], bytes(99))]).add(
            "VALID_SHAPE", np.array([[64, 64]], np.int32))),
        ("fewer scores than boxes", postprocess_request(CANDIDATE_SCORES=np.ones((1, 3), np.float32))),
        ("more labels than boxes", postprocess_request(CANDIDATE_LABELS=np.zeros((1, 9), np.int32))),
        ("boxes NaN", postprocess_request(CANDIDATE_BOXES=np.full((1, 4, 4), np.nan, np.float32))),
        ("boxes infinite", postprocess_request(CANDIDATE_BOXES=np.full((1, 4, 4), np.inf, np.float32))),
        ("scores NaN", postprocess_request(CANDIDATE_SCORES=np.full((1, 4), np.nan, np.float32))),
        ("scores of 10^30", postprocess_request(CANDIDATE_SCORES=np.full((1, 4), 1e30, np.float32))),
        ("labels negative", postprocess_request(CANDIDATE_LABELS=np.full((1, 4), -1, np.int32))),
        ("labels of 2^31-1", postprocess_request(CANDIDATE_LABELS=np.full((1, 4), 2**31 - 1, np.int32))),
        ("labels beyond the classes", postprocess_request(CANDIDATE_LABELS=np.full((1, 4), 5000, np.int32))),
        ("geometry of zeros", postprocess_request(GEOMETRY=np.zeros((1, 4), np.float32))),
        ("geometry NaN", postprocess_request(GEOMETRY=np.full((1, 4), np.nan, np.float32))),
        ("geometry negative", postprocess_request(GEOMETRY=np.full((1, 4), -1, np.float32))),
        ("300,000 candidates", postprocess_request(300_000)),
        ("threshold NaN", postprocess_request(SCORE_THRESHOLD=np.array([np.nan], np.float32))),
        ("threshold 2", postprocess_request(SCORE_THRESHOLD=np.array([2], np.float32))),
    ]  # fmt: skip
    odd = [
        ("pixels of 32x32", detector_request(np.zeros((1, 32, 32, 3), np.uint8))),
        ("pixels of 32x1312", detector_request(np.zeros((1, 32, 1312, 3), np.uint8), (32, 1300))),
        ("no candidate", postprocess_request(0)),
        ("forged ticket 1", postprocess_request(TICKET=np.array([[1]], np.int64))),
        ("forged ticket -1", postprocess_request(TICKET=np.array([[-1]], np.int64))),
        ("forged ticket 2^63-1", postprocess_request(TICKET=np.array([[2**63 - 1]], np.int64))),
        ("forged ticket -2^63", postprocess_request(TICKET=np.array([[-(2**63)]], np.int64))),
        ("ticket 0", postprocess_request(TICKET=np.array([[0]], np.int64))),
    ]
    return [(name, each, refused) for name, each in wrong] + [(name, each, answered) for name, each in odd]


def _grpc_messages() -> list[tuple[str, Any]]:
    good = infer_request(strip_png())

    def changed(change: Callable[[Any], object]) -> Any:
        message = copy.deepcopy(good)
        change(message)
        return message

    def both(message: Any) -> None:
        message.inputs[0].contents.bytes_contents.append(b"x")

    def long_id(message: Any) -> None:
        message.id = "i" * 5_000_000

    return [
        ("no message", b""),
        ("no protobuf", b"\xff" * 200),
        ("a length beyond the message", b"\x0a\xff\xff\xff\xff\x0f"),
        ("groups nested 10,000 deep", b"\x0b" * 10_000),
        ("raw and typed contents", changed(both)),
        ("no contents", changed(lambda message: message.raw_input_contents.pop())),
        ("more contents than inputs", changed(lambda message: message.raw_input_contents.append(b"x"))),
        ("empty output name", changed(lambda message: message.outputs.add(name=""))),
        ("id of 5 MB and no model", changed(lambda message: (long_id(message), message.ClearField("model_name")))),
        ("10,000 inputs", changed(lambda message: [message.inputs.add(name=f"I{i}", datatype="BYTES", shape=[1]) for i in range(10_000)])),
    ]  # fmt: skip


def _http_messages() -> list[tuple[str, bytes]]:
    good = image_request().as_binary_http()
    head, _, body = good.partition(b"\r\n\r\n")
    path = "/v2/models/vfnet/infer"
    size = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Inference")).split(b":")[1])

    def with_header_length(value: str) -> bytes:
        return request("POST", path, body, {"Inference-Header-Content-Length": value})

    def with_document(change: Callable[[dict[str, Any]], object]) -> bytes:
        document = json.loads(body[:size])
        change(document)
        text = json.dumps(document).encode()
        return request("POST", path, text + body[size:], {"Inference-Header-Content-Length": str(len(text))})

    def tensor(value: Any) -> bytes:
        return post_json(path, {"inputs": value})

    image = {"name": "IMAGE", "datatype": "BYTES", "shape": [1]}
    found = [(f"JSON length {value!r}", with_header_length(value)) for value in _LENGTHS]
    for value in (-1, 0, 2**31, 2**63, 2**64, 1.5, "5", None, True, [5]):
        name = f"binary_data_size {value!r}"
        found.append((name, with_document(lambda document, value=value: document["inputs"][0]["parameters"].update(
            binary_data_size=value))))  # fmt: skip
    for name, value in {
        "inputs null": None, "inputs a number": 5, "inputs an object": {}, "inputs a string": "IMAGE", "inputs empty": [],
        "input null": [None], "input a list": [[]], "input without a name": [{**image, "name": None, "data": ["x"]}],
        "input without data": [image], "data null": [{**image, "data": None}], "data a number": [{**image, "data": 5}],
        "data a string": [{**image, "data": "x"}], "data an object": [{**image, "data": {}}],
        "data of numbers": [{**image, "data": [5]}], "data of null": [{**image, "data": [None]}],
        "data nested 900 deep": [{**image, "data": _nested(900)}],
        "shape null": [{**image, "shape": None, "data": ["x"]}], "shape a string": [{**image, "shape": "1", "data": ["x"]}],
        "shape of strings": [{**image, "shape": ["1"], "data": ["x"]}], "shape of fractions": [{**image, "shape": [1.5], "data": ["x"]}],
        "shape of 10^400": [{**image, "shape": [10**400], "data": ["x"]}], "shape nested": [{**image, "shape": [[1]], "data": ["x"]}],
        "datatype null": [{**image, "datatype": None, "data": ["x"]}], "parameters a list": [{**image, "parameters": [], "data": ["x"]}],
        "shared memory without a size": [{**image, "parameters": {"shared_memory_region": "r"}}],
        "shared memory at 2^64": [{**image, "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 2**64, "shared_memory_offset": 2**64}}],
    }.items():  # fmt: skip
        found.append((name, tensor(value)))
    return found


_LENGTHS = ("0", "-1", "1", "99999999999", "18446744073709551615", "18446744073709551616", "0x10", "1e3", "x", "", " 5 ",
            "+5", "5, 5", "٥")  # fmt: skip


def _nested(depth: int) -> list[Any]:
    value: list[Any] = ["x"]
    for _ in range(depth):
        value = [value]
    return value


def _add_classification(found: AttackList) -> None:
    """Outputs as the classes with the highest scores: of text, which has none."""
    for count in (1, 0, -1, 2**31 - 1, 2**63 - 1):
        for name in ("DETECTIONS", "BOXES", "LABELS"):
            made = image_request()
            made.outputs = [(name, {"classification": count})]
            for form, data in (("binary", made.as_binary_http()), ("JSON", made.as_json_http())):
                found.add(f"classification {count} of {name}, {form}", DOOR, http(DOOR, data))
            send = grpc_call(DOOR, "ModelInfer", made.as_grpc())
            found.add(f"classification {count} of {name}, gRPC", DOOR, send)
    made = image_request()
    made.outputs = [("DETECTIONS", {"classification": 1})]
    plain = made.as_json_http().replace(b"application/json", b"text/plain")
    found.add("classification, text/plain of a web page", DOOR, http(DOOR, plain))
    options: dict[str, Any] = {"allowed": _any_end, "why_not_mended": _CLASSIFICATION}
    found.add("classification of DETECTIONS, gRPC", TRITON, grpc_call(TRITON, "ModelInfer", made.as_grpc()), **options)
    found.add("classification of DETECTIONS, JSON", TRITON, http(TRITON, made.as_json_http()), **options)
    found.add("classification of DETECTIONS, text/plain", TRITON, http(TRITON, plain), **options)


def _any_end(_reply: Reply) -> bool:
    return True


def _add_direct_calls_of_steps(found: AttackList) -> None:
    """The steps are nobody's business at the door; at Triton, many calls of preprocess must not use up the places."""
    for model, tensors in {
        "vfnet_preprocess": Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [1], [strip_png()])]),
        "vfnet_detector": detector_request(np.zeros((1, 32, 32, 3), np.uint8)),
        "vfnet_postprocess": postprocess_request(),
    }.items():
        found.add(f"{model} called directly, gRPC", DOOR, grpc_call(DOOR, "ModelInfer", tensors.as_grpc()))
        found.add(f"{model} called directly, binary", DOOR, http(DOOR, tensors.as_binary_http()))
        found.add(f"{model} called directly, JSON", DOOR, http(DOOR, tensors.as_json_http()))
        for what in ("", "/config", "/stats", "/ready", "/versions/1"):
            found.add(f"GET of {model}{what}", DOOR, http(DOOR, request("GET", f"/v2/models/{model}{what}")))
        for method, message in {
            "ModelMetadata": kserve.ModelMetadataRequest(name=model),
            "ModelConfig": kserve.ModelConfigRequest(name=model),
            "ModelStatistics": kserve.ModelStatisticsRequest(name=model),
        }.items():
            found.add(f"{method} of {model}", DOOR, grpc_call(DOOR, method, message))
    found.add("40 tickets kept by who only preprocesses", TRITON, _keep_tickets, allowed=anything_at_all)
    found.add("a ticket given back twice", TRITON, _give_back_twice, allowed=anything_at_all)
    found.add("every ticket from 0 to 200 forged", TRITON, _forge_many, allowed=anything_at_all)


def anything_at_all(_reply: Reply) -> bool:
    """What matters is whether others are still served."""
    return True


def _preprocess(deployment: Deployment) -> Any:
    made = Tensors("vfnet_preprocess", [("IMAGE", "BYTES", [1], [strip_png()])])
    made.outputs = [("TICKET", {}), ("GEOMETRY", {})]
    return call(grpc_port(deployment, TRITON), "ModelInfer", made.as_grpc())


def _keep_tickets(deployment: Deployment) -> Reply:
    replies = [_preprocess(deployment) for _ in range(40)]
    return replies[-1]


def _give_back_twice(deployment: Deployment) -> Reply:
    port = grpc_port(deployment, TRITON)
    _preprocess(deployment)
    reply = Reply("")
    for ticket in (1, 1, 2, 2):
        message = postprocess_request(TICKET=np.array([[ticket]], np.int64)).as_grpc()
        reply = call(port, "ModelInfer", message)
    return reply


def _forge_many(deployment: Deployment) -> Reply:
    reply = Reply("")
    for ticket in range(0, 200, 4):
        message = postprocess_request(TICKET=np.array([[ticket]], np.int64)).as_grpc()
        reply = call(grpc_port(deployment, TRITON), "ModelInfer", message)
    return reply
