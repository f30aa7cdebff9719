"""What of a request is checked before Triton sees any of it: told in one sentence, in the protocol's own form."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tritonclient.grpc import service_pb2

from gateway_process import RunningGateway
from kserve_requests import (
    INFER,
    STRIP,
    base64_input,
    binary_input,
    infer_message,
    post_binary,
    post_json,
    refusal,
    tensor,
    threshold_input,
)

pytestmark = pytest.mark.served

TENSOR = tensor()
OUTPUT = {"name": "DETECTIONS"}


def with_input(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**base64_input(), **changes}]}


def with_parameter(name: str, value: Any) -> dict[str, Any]:
    return {"inputs": [base64_input()], "parameters": {name: value}}


def with_output(**output: Any) -> dict[str, Any]:
    return {"inputs": [base64_input()], "outputs": [{**OUTPUT, **output}]}


JSON_CASES: dict[str, tuple[Any, str]] = {
    "no input": ({"inputs": []}, "no input IMAGE"),
    "inputs missing": ({}, "inputs is not a list"),
    "inputs an object": ({"inputs": {}}, "inputs is not a list"),
    "input a number": ({"inputs": [1]}, "inputs is not a list of objects"),
    "many inputs": ({"inputs": [base64_input()] * 17}, "17 entries"),
    "twice": ({"inputs": [base64_input()] * 2}, "there twice"),
    "another input": ({"inputs": [{**base64_input(), "name": "PIXELS"}]}, "no input 'PIXELS'"),
    "a step's input": ({"inputs": [base64_input(), {**threshold_input(), "name": "TICKET"}]}, "no input 'TICKET'"),
    "name a number": (with_input(name=1), "name of an input is not a string"),
    "datatype": (with_input(datatype="UINT8"), "datatype BYTES"),
    "datatype a list": (with_input(datatype=[]), "not a string"),
    "shape": (with_input(shape=[2]), "shape"),
    "shape negative": (with_input(shape=[-1]), "shape"),
    "shape of fractions": (with_input(shape=[1.0]), "whole numbers"),
    "shape true": (with_input(shape=[True]), "whole numbers"),
    "shape huge": (with_input(shape=[2**63]), "whole numbers"),
    "many dimensions": (with_input(shape=[1] * 40), "whole numbers"),
    "no data": (with_input(data=[]), "one element, not 0"),
    "much data": (with_input(data=["", ""]), "one element, not 2"),
    "data a string": (with_input(data="abc"), "not a list"),
    "data not base64": (with_input(data=["~"]), "not base64"),
    "data a number": (with_input(data=[1]), "not base64"),
    "data empty": (with_input(data=[""]), "is empty"),
    "nested data": (with_input(data=[[["a"]]], parameters={}), "holds a string"),
    "another encoding": (with_input(parameters={"content_type": "gzip"}), "base64"),
    "shared memory": (with_input(parameters={"shared_memory_region": "x"}), "shared memory is not offered"),
    "binary without bytes": ({"inputs": [binary_input()]}, "number of bytes that are there"),
    "binary negative": ({"inputs": [binary_input(-1)]}, "number of bytes that are there"),
    "binary true": ({"inputs": [{**binary_input(), "parameters": {"binary_data_size": True}}]}, "number of bytes"),
    "threshold above one": ({"inputs": [base64_input(), threshold_input(1.5)]}, "from 0 to 1"),
    "threshold below none": ({"inputs": [base64_input(), threshold_input(-0.1)]}, "from 0 to 1"),
    "threshold a text": ({"inputs": [base64_input(), threshold_input("0.5")]}, "holds a number"),
    "threshold true": ({"inputs": [base64_input(), threshold_input(True)]}, "holds a number"),
    "threshold null": ({"inputs": [base64_input(), threshold_input(None)]}, "holds a number"),
    "threshold an integer": ({"inputs": [base64_input(), threshold_input(datatype="INT32")]}, "datatype FP32"),
    "another output": (with_output(name="CANDIDATE_BOXES"), "no output 'CANDIDATE_BOXES'"),
    "an output twice": ({"inputs": [base64_input()], "outputs": [OUTPUT] * 2}, "asked for twice"),
    "many outputs": ({"inputs": [base64_input()], "outputs": [OUTPUT] * 17}, "17 entries"),
    "classification": (with_output(parameters={"classification": 3}), "LABELS and SCORES"),
    "output to shared memory": (with_output(parameters={"shared_memory_region": "x"}), "shared memory"),
    "binary_data a number": (with_output(parameters={"binary_data": 1}), "true or false"),
    "sequence": (with_parameter("sequence_id", 1), "no sequences"),
    "priority": (with_parameter("priority", 3), "priority is one of"),
    "priority true": (with_parameter("priority", True), "priority is one of"),
    "priority huge": (with_parameter("priority", 2**70), "priority is one of"),
    "timeout": (with_parameter("timeout", -1), "microseconds"),
    "timeout a fraction": (with_parameter("timeout", 0.5), "microseconds"),
    "unknown parameter": (with_parameter("triton_enable_empty_final_response", True), "not known"),
    "parameters a list": ({"inputs": [base64_input()], "parameters": []}, "parameters of the request"),
    "id a number": ({"inputs": [base64_input()], "id": 1}, "id of the request"),
    "long id": ({"inputs": [base64_input()], "id": "x" * 101}, "100 characters"),
    "id of two lines": ({"inputs": [base64_input()], "id": "a\nb"}, "printable line"),
    "a list": ([], "not a JSON object"),
    "empty": (b"", "not JSON"),
    "half": (b'{"inputs": [', "not JSON"),
    "not a number": (b'{"inputs": [], "a": NaN}', "not JSON"),
    "not UTF-8": (b'{"id": "\xff"}', "not JSON"),
    "lone surrogate": (b'{"id": "\\ud800"}', "not JSON"),
}


@pytest.mark.parametrize("case", JSON_CASES)
def test_over_rest(case: str, client: httpx.Client) -> None:
    document, words = JSON_CASES[case]
    reply = post_json(client, document)
    assert reply.status_code == 400, reply.text
    assert list(reply.json()) == ["error"]
    assert words in reply.json()["error"]


BINARY_CASES: dict[str, tuple[Any, bytes, object, str]] = {
    "length beyond the body": ({"inputs": [binary_input()]}, TENSOR, 10**9, "larger than the body"),
    "length negative": ({"inputs": [binary_input()]}, TENSOR, -1, "not a number"),
    "length no number": ({"inputs": [binary_input()]}, TENSOR, "1e3", "not a number"),
    "length of other digits": ({"inputs": [binary_input()]}, TENSOR, "9" * 30, "not a number"),
    "length in the JSON's middle": ({"inputs": [binary_input()]}, TENSOR, 10, "not JSON"),
    "length none": ({"inputs": [binary_input()]}, TENSOR, 0, "not JSON"),
    "bytes left over": ({"inputs": [binary_input()]}, TENSOR + b"x", None, "add up to"),
    "bytes missing": ({"inputs": [binary_input()]}, TENSOR[:-1], None, "number of bytes that are there"),
    "claimed by two": ({"inputs": [binary_input(), binary_input()]}, TENSOR, None, "number of bytes that are there"),
    "data beside bytes": ({"inputs": [binary_input(data=["x"])]}, TENSOR, None, "both data and"),
    "element longer": ({"inputs": [binary_input()]}, b"\xff\xff\xff\xff" + TENSOR[4:], None, "not one element"),
    "element shorter": ({"inputs": [binary_input()]}, b"\0\0\0\0" + TENSOR[4:], None, "not one element"),
    "no element": ({"inputs": [binary_input(3)]}, b"\0\0\0", None, "not one element"),
    "empty element": ({"inputs": [binary_input(4)]}, b"\0\0\0\0", None, "is empty"),
}


@pytest.mark.parametrize("case", BINARY_CASES)
def test_bytes_after_the_json(case: str, client: httpx.Client) -> None:
    head, tail, length, words = BINARY_CASES[case]
    reply = post_binary(client, head, tail, length)
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0", struct.pack("<f", float("nan")), struct.pack("<f", float("inf")), b"\0" * 8]
)
def test_a_threshold_in_bytes(raw: bytes, client: httpx.Client) -> None:
    threshold = {**threshold_input(), "parameters": {"binary_data_size": len(raw)}}
    del threshold["data"]
    reply = post_binary(client, {"inputs": [binary_input(), threshold]}, TENSOR + raw)
    assert reply.status_code == 400, reply.text
    assert "SCORE_THRESHOLD" in reply.json()["error"]


Spoil = Callable[[Any], object]


def parameter(name: str, **value: Any) -> Spoil:
    def spoil(message: Any) -> None:
        message.parameters[name].CopyFrom(service_pb2.InferParameter(**value))

    return spoil


MESSAGE_CASES: dict[str, tuple[Spoil, str, str]] = {
    "a step": (lambda m: setattr(m, "model_name", "vfnet_detector"), "NOT_FOUND", "no model"),
    "no model": (lambda m: setattr(m, "model_name", ""), "NOT_FOUND", "no model"),
    "a path": (lambda m: setattr(m, "model_name", "../vfnet"), "NOT_FOUND", "no model"),
    "a version": (lambda m: setattr(m, "model_version", "7"), "NOT_FOUND", "no version"),
    "no input": (lambda m: m.ClearField("inputs"), "INVALID_ARGUMENT", "0 inputs"),
    "more bytes than inputs": (lambda m: m.raw_input_contents.append(b""), "INVALID_ARGUMENT", "2 entries for 1"),
    "bytes twice": (
        lambda m: m.inputs[0].contents.bytes_contents.append(b"x"), "INVALID_ARGUMENT", "beside raw_input_contents",
    ),
    "no bytes": (lambda m: m.ClearField("raw_input_contents"), "INVALID_ARGUMENT", "one element, not 0"),
    "datatype": (lambda m: setattr(m.inputs[0], "datatype", "INT8"), "INVALID_ARGUMENT", "datatype BYTES"),
    "shape": (lambda m: m.inputs[0].shape.append(-(2**63)), "INVALID_ARGUMENT", "shape"),
    "many dimensions": (lambda m: m.inputs[0].shape.extend([1] * 100_000), "INVALID_ARGUMENT", "dimensions"),
    "many inputs": (lambda m: m.inputs.extend([m.inputs[0]] * 1000), "INVALID_ARGUMENT", "more than"),
    "classification": (
        lambda m: m.outputs[0].parameters["classification"].CopyFrom(service_pb2.InferParameter(int64_param=2)),
        "INVALID_ARGUMENT", "LABELS and SCORES",
    ),
    "shared memory": (
        lambda m: m.inputs[0].parameters["shared_memory_region"].CopyFrom(service_pb2.InferParameter(string_param="x")),
        "INVALID_ARGUMENT", "shared memory",
    ),
    "an output": (lambda m: m.outputs.add(name="candidate_boxes"), "INVALID_ARGUMENT", "no output"),
    "sequence": (parameter("sequence_id", int64_param=1), "INVALID_ARGUMENT", "no sequences"),
    "priority": (parameter("priority", uint64_param=2**64 - 1), "INVALID_ARGUMENT", "priority"),
    "timeout": (parameter("timeout", int64_param=-5), "INVALID_ARGUMENT", "timeout"),
    "parameter of no kind": (parameter("timeout"), "INVALID_ARGUMENT", "timeout"),
    "unknown parameter": (parameter("x\x1b[31m\n" * 50, bool_param=True), "INVALID_ARGUMENT", "not known"),
    "long id": (lambda m: setattr(m, "id", "x" * 101), "INVALID_ARGUMENT", "100 characters"),
    "no image": (lambda m: m.raw_input_contents.__setitem__(0, tensor(b"nonsense")), "INVALID_ARGUMENT", "image"),
    "cut image": (lambda m: m.raw_input_contents.__setitem__(0, tensor(STRIP[:60])), "INVALID_ARGUMENT", "image"),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGE_CASES)
def test_over_grpc(case: str, gateway: RunningGateway) -> None:
    spoil, code, words = MESSAGE_CASES[case]
    message = infer_message()
    spoil(message)
    assert refusal(gateway, "ModelInfer", message)[0] == code
    told = refusal(gateway, "ModelInfer", message)[1]
    assert words in told
    assert told.isprintable()
    assert len(told) < 400


@pytest.mark.parametrize("path", [INFER, "/v2/models/vfnet/versions/1/infer"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data"}, 415),
        ({"content-encoding": "gzip"}, 400),  # which it is not
        ({"content-encoding": "br"}, 415),
        ({"x-vfnet-priority": "urgent"}, 400),
    ],
)
def test_headers(path: str, headers: dict[str, str], status: int, client: httpx.Client) -> None:
    reply = post_json(client, {"inputs": [base64_input()]}, path, headers=headers)
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]


def test_an_image_larger_than_allowed(client: httpx.Client, gateway: RunningGateway) -> None:
    large = bytes(3_000_000)
    message = infer_message(large)
    assert post_json(client, {"inputs": [base64_input(large + large)]}).status_code == 413  # the body
    assert refusal(gateway, "ModelInfer", infer_message(large + large))[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
    assert (
        refusal(gateway, "ModelInfer", message)[0] == "INVALID_ARGUMENT"
    )  # no image, and small enough to be looked at
