"""What one request wants of its detections, through the gateway: `params` of /score, and KServe's optional inputs."""

from __future__ import annotations

import json
import struct
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2

from gateway_process import RunningGateway
from kserve_requests import STRIP, base64_input, call, infer_message, post_json
from score_requests import GOOD, post, score, table
from vfnet_client import InvalidOptionsError, VFNetClient
from vfnet_client.score_parameters import PARAMETERS_HEADER
from vfnet_gateway.swagger import description

pytestmark = pytest.mark.served

ABSURD = {
    "classes is text": ({"classes": "can"}, '"classes" must be a list of class names or numbers'),
    "classes is empty": ({"classes": []}, '"classes" must name at least one class; leave it out for all'),
    "max_detections is 0": ({"max_detections": 0}, '"max_detections" must be a whole number from 1 on'),
    "nms_iou is a list": ({"nms_iou": [0.5]}, '"nms_iou" must be a number from 0 to 1'),
    "a class that the model does not have": ({"classes": ["can", "Carton"]}, "did you mean 'carton'?"),
    "more boxes than the model gives": ({"max_detections": 5000}, "MAX_DETECTIONS must be within 1..1000, not 5000"),
}


@pytest.mark.parametrize("path", ["/score", "/invocations"])
def test_params_choose_for_all_images_of_a_request(path: str, client: httpx.Client) -> None:
    name = {"/score": "input_data", "/invocations": "dataframe_split"}[path]
    params = {"classes": ["can", 3], "max_detections": 4, "nms_iou": 0.9, "score_threshold": 0.1, "other": 1}
    reply = post(client, {name: table([GOOD, GOOD]), "params": params}, path)
    assert reply.status_code == 200, reply.text
    assert reply.headers[PARAMETERS_HEADER] == "classes, max_detections, nms_iou, score_threshold"
    found = reply.json() if path == "/score" else reply.json()["predictions"]
    assert found == [{"boxes": score(client, [GOOD]).json()[0]["boxes"][:4]}] * 2
    assert score(client, [GOOD], params={"classes": ["carton"]}).json() == [{"boxes": []}]


def test_an_answer_without_params_has_no_word_of_them(client: httpx.Client) -> None:
    plain, other = score(client, [GOOD]), score(client, [GOOD], params={"Classes": ["can"], "iou_threshold": 7})
    assert plain.content == other.content
    assert PARAMETERS_HEADER not in plain.headers
    assert PARAMETERS_HEADER not in other.headers


@pytest.mark.parametrize(("params", "words"), ABSURD.values(), ids=ABSURD)
def test_params_that_make_no_sense_are_the_requests_fault(
    params: dict[str, Any], words: str, client: httpx.Client
) -> None:
    reply = score(client, [GOOD, GOOD, "no image"], params=params)
    assert reply.status_code == 400, reply.text
    assert list(reply.json()) == ["message"]
    assert words in reply.json()["message"]


def test_our_own_client_gets_there_what_it_asks_for(gateway: RunningGateway) -> None:
    with (
        VFNetClient(f"{gateway.address}/score") as at_score,
        VFNetClient(f"grpc://{gateway.grpc_authority}") as over_grpc,
        VFNetClient(gateway.address) as over_http,
    ):
        everything = over_grpc.detect(STRIP)
        for client in (at_score, over_grpc, over_http):
            found = client.detect(STRIP, classes=["can"], max_detections=2, nms_iou=0.5, score_threshold=0.1)
            assert found.boxes == everything.boxes[:2]
            with pytest.raises(InvalidOptionsError, match="did you mean 'can'"):
                client.detect(STRIP, classes=["cam"])


def rest(*tensors: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [base64_input(), *tensors], "outputs": [{"name": "LABELS"}]}


def option(name: str, datatype: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": list(values), **more}


BASE64 = {"parameters": {"content_type": "base64"}}


@pytest.mark.parametrize(
    ("tensors", "boxes"),
    [
        ([], 10),
        ([option("MAX_DETECTIONS", "INT32", 3)], 3),
        ([option("CLASSES", "BYTES", "can", "carton", "3")], 10),
        ([option("CLASSES", "BYTES", "Y2Fu", "Y2FydG9u", "Mw==", **BASE64)], 10),
        ([option("CLASSES", "BYTES", "carton"), option("NMS_IOU", "FP32", 0.5)], 0),
        ([option("NMS_IOU", "FP32", 1), option("SCORE_THRESHOLD", "FP32", 0.9)], 0),
    ],
)
def test_kserves_json_has_them_as_inputs(tensors: list[dict[str, Any]], boxes: int, client: httpx.Client) -> None:
    reply = post_json(client, rest(*tensors))
    assert reply.status_code == 200, reply.text
    assert reply.json()["outputs"][0]["shape"] == [boxes]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (option("CLASSES", "BYTES"), "input CLASSES must name at least one class"),
        (option("CLASSES", "BYTES", "can") | {"shape": [2]}, "input CLASSES does not hold the '2' elements"),
        (option("CLASSES", "BYTES", "can", "3") | {"shape": [1]}, "input CLASSES does not hold the '1' elements"),
        (option("CLASSES", "BYTES", "can") | {"shape": [1, 1]}, "input CLASSES has the shape [-1], not '[1, 1]'"),
        (option("CLASSES", "BYTES", "can") | {"shape": [2**40]}, "more entries than the 5000"),
        (option("CLASSES", "BYTES", 3), "input CLASSES holds texts, not 'int'"),
        (option("CLASSES", "BYTES", "/w==", **BASE64), "input CLASSES holds a text that is no UTF-8"),
        (option("CLASSES", "BYTES", "cam"), "CLASSES has 'cam', which is no class of this model"),
        (option("MAX_DETECTIONS", "INT32", 0), "input MAX_DETECTIONS must be a whole number from 1 on"),
        (option("MAX_DETECTIONS", "INT32", 2.5), "input MAX_DETECTIONS must be a whole number from 1 on"),
        (option("MAX_DETECTIONS", "INT64", 3), "input MAX_DETECTIONS is of datatype INT32, not 'INT64'"),
        (option("NMS_IOU", "FP32", 1.5), "input NMS_IOU must be a number from 0 to 1"),
        (option("NMS_IOU", "FP32", "0.5"), "input NMS_IOU holds a number, not 'str'"),
    ],
)
def test_kserves_inputs_that_make_no_sense_are_refused(
    tensor: dict[str, Any], words: str, client: httpx.Client
) -> None:
    reply = post_json(client, rest(tensor))
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]


def message(content: dict[str, bytes]) -> Any:
    """A `ModelInferRequest` with these inputs in binary form."""
    made = infer_message(outputs=("LABELS",))
    datatypes = {"CLASSES": "BYTES", "MAX_DETECTIONS": "INT32", "NMS_IOU": "FP32"}
    for name, raw in content.items():
        made.inputs.add(name=name, datatype=datatypes[name], shape=[2 if name == "CLASSES" else 1])
        made.raw_input_contents.append(raw)
    return made


TEXTS = b"".join(len(text).to_bytes(4, "little") + text for text in (b"can", b"3"))


def test_grpc_has_them_in_binary_form_and_in_the_message(gateway: RunningGateway) -> None:
    raw = {"CLASSES": TEXTS, "MAX_DETECTIONS": struct.pack("<i", 3), "NMS_IOU": struct.pack("<f", 0.5)}
    answer = service_pb2.ModelInferResponse.FromString(call(gateway, "ModelInfer", message(raw)))
    assert answer.outputs[0].shape == [3]
    spelt = service_pb2.ModelInferRequest(model_name="vfnet")
    spelt.inputs.add(name="IMAGE", datatype="BYTES", shape=[1]).contents.bytes_contents.append(STRIP)
    spelt.inputs.add(name="CLASSES", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"can", b"3"])
    spelt.inputs.add(name="MAX_DETECTIONS", datatype="INT32", shape=[1]).contents.int_contents.append(3)
    spelt.outputs.add(name="LABELS")
    assert service_pb2.ModelInferResponse.FromString(call(gateway, "ModelInfer", spelt)).outputs[0].shape == [3]


@pytest.mark.parametrize(
    "raw",
    [
        {"CLASSES": TEXTS[:-1]}, {"CLASSES": TEXTS[:2]}, {"CLASSES": TEXTS + TEXTS}, {"CLASSES": b""},
        {"CLASSES": b"\xff\xff\xff\xffcan"}, {"MAX_DETECTIONS": b"abc"}, {"NMS_IOU": bytes(8)},
        {"NMS_IOU": struct.pack("<f", float("nan"))},
    ],
)  # fmt: skip
def test_binary_inputs_that_are_none_are_refused(raw: dict[str, bytes], gateway: RunningGateway) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(gateway, "ModelInfer", message(raw))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"input {next(iter(raw))} ")


def test_the_description_tells_of_them() -> None:
    schemas = json.loads(description("3.1"))["components"]["schemas"]
    params = schemas["ScoreParams"]["properties"]
    assert set(params) >= {"box_score_threshold", "score_threshold", "classes", "max_detections", "nms_iou"}
    names = {"IMAGE", "SCORE_THRESHOLD", "CLASSES", "MAX_DETECTIONS", "NMS_IOU"}
    assert set(schemas["KServeInput"]["properties"]["name"]["enum"]) == names
    assert schemas["KServeRequest"]["properties"]["inputs"]["maxItems"] == len(names)
