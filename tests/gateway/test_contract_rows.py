"""The scoring contract, row by row, against a real gateway and a real Triton."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway_process import RunningGateway, running_gateway
from score_requests import GOOD, post, score, strip_png, table
from shared_data import SHARED, needs_shared
from triton_server import ServedRepository
from vfnet_client import VFNetClient
from waiting import eventually

pytestmark = pytest.mark.served

CONTRACT = SHARED / "contract"
REQUESTS = sorted((CONTRACT / "requests").glob("*.json"))
TEXT = base64.b64encode(b"This is text, and no image at all.").decode()
TRUNCATED = base64.b64encode(strip_png()[:90]).decode()
URL_SAFE = GOOD.replace("+", "-").replace("/", "_")


def gif() -> str:
    out = io.BytesIO()
    Image.new("P", (1333, 32)).save(out, "GIF")
    return base64.b64encode(out.getvalue()).decode()


ACCEPTED: dict[str, tuple[dict[str, Any], int]] = {
    "data flat": ({"input_data": table([GOOD, GOOD])}, 2),
    "data nested": ({"input_data": table([[GOOD], [GOOD]])}, 2),
    "no index": ({"input_data": table([GOOD])}, 1),
    "index of strings": ({"input_data": table([GOOD, GOOD], index=["b", "a"])}, 2),
    "index of duplicates": ({"input_data": table([GOOD, GOOD], index=[7, 7])}, 2),
    "index sparse": ({"input_data": table([GOOD, GOOD], index=[90, 3])}, 2),
    "data empty": ({"input_data": table([])}, 0),
    "no data": ({"input_data": {"columns": ["image"]}}, 0),
    "extra columns": ({"input_data": {"columns": ["id", "image"], "data": [[1, GOOD], [2, GOOD]]}}, 2),
    "extra top-level keys": ({"input_data": table([GOOD]), "more": {"a": 1}}, 1),
    "params of any kind": ({"input_data": table([GOOD]), "params": {"iou_threshold": "x"}}, 1),
    "params no object": ({"input_data": table([GOOD]), "params": 3}, 1),
    "base64 without padding": ({"input_data": table([GOOD.rstrip("=")])}, 1),
    "base64 with newlines": ({"input_data": table([base64.encodebytes(strip_png()).decode()])}, 1),
    "URL-safe base64": ({"input_data": table([URL_SAFE])}, 1),
    "URL-safe base64 without padding": ({"input_data": table([URL_SAFE.rstrip("=")])}, 1),
    "data URI": ({"input_data": table([f"data:image/png;base64,{GOOD}"])}, 1),
    "another format": ({"input_data": table([gif()])}, 1),
}

REFUSED: dict[str, tuple[Any, int, str]] = {
    "index of another length": (
        {"input_data": table([GOOD], index=[1, 2])}, 400, '"index" has 2 entries but "data" has 1'
    ),
    "columns missing": ({"input_data": {"data": [GOOD]}}, 400, '"image"'),
    "columns without image": ({"input_data": {"columns": ["picture"], "data": [GOOD]}}, 400, '"image"'),
    "unknown key inside input_data": ({"input_data": table([GOOD], name="x")}, 400, "takes"),
    "input_data null": ({"input_data": None}, 400, "takes"),
    "input_data a list": ({"input_data": [GOOD]}, 400, "takes"),
    "input_data records": ({"input_data": [{"image": GOOD}]}, 400, "takes"),
    "input_data a dict of lists": ({"input_data": {"image": [GOOD]}}, 400, "takes"),
    "no input_data": ({"data": []}, 400, "A value is not provided for the 'input_data' parameter."),
    "dataframe_split at /score": (
        {"dataframe_split": table([GOOD])}, 400, "A value is not provided for the 'input_data' parameter."
    ),
    "body a list": (b"[]", 400, "POST body should be a JSON dictionary."),
    "body null": (b"null", 400, "POST body should be a JSON dictionary."),
    "not JSON": (b"{nope", 400, "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    "empty": (b"", 400, "POST body is empty. Expecting a JSON dictionary."),
    "box_score_threshold above 1": (
        {"input_data": table([GOOD]), "params": {"box_score_threshold": 1.5}}, 400, "must be a number from 0 to 1"
    ),
    "box_score_threshold no number": (
        {"input_data": table([GOOD]), "params": {"box_score_threshold": "0.5"}}, 400, "must be a number from 0 to 1"
    ),
}  # fmt: skip

UNREADABLE: dict[str, tuple[Any, str]] = {
    "null": (None, "got null"),
    "a number": (3, "got a number"),
    "an empty string": ("", "empty"),
    "garbage": ("!?", "neither base64 nor"),
    "base64 of an impossible length": ("AAAAA", "cannot have this length"),
    "base64 of text": (TEXT, "image"),
    "a truncated file": (TRUNCATED, "truncated or damaged"),
    "a private URL": ("http://127.0.0.1:9/a.png", "public"),
    "a cloud's metadata service": ("HTTP://169.254.169.254/latest", "public"),
    "a URL of another scheme": ("ftp://example.com/a.png", "neither base64 nor"),
}


@pytest.mark.parametrize(("body", "images"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(body: dict[str, Any], images: int, client: httpx.Client) -> None:
    reply = post(client, body)
    assert reply.status_code == 200, reply.text
    assert len(reply.json()) == images
    assert all(len(result["boxes"]) == 10 for result in reply.json())


def test_a_body_in_gzip_is_answered_as_without(client: httpx.Client) -> None:
    body = json.dumps({"input_data": table([GOOD, GOOD])}).encode()
    plain, headers = post(client, body), {"content-type": "application/json", "content-encoding": "gzip"}
    assert plain.status_code == 200
    assert client.post("/score", content=gzip.compress(body), headers=headers).json() == plain.json()
    infer = {"inputs": [{"name": "IMAGE", "datatype": "BYTES", "shape": [1], "data": [GOOD],
                         "parameters": {"content_type": "base64"}}]}  # fmt: skip
    packed = gzip.compress(json.dumps(infer).encode())
    answers = [client.post("/v2/models/vfnet/infer", json=infer),
               client.post("/v2/models/vfnet/infer", content=packed, headers=headers)]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["outputs"] == answers[1].json()["outputs"]


@pytest.mark.parametrize(("body", "status", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(body: Any, status: int, words: str, client: httpx.Client) -> None:
    reply = post(client, body)
    assert reply.status_code == status
    assert list(reply.json()) == ["message"]
    assert words in reply.json()["message"]


@pytest.mark.parametrize(("item", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_image_costs_no_other(item: Any, words: str, client: httpx.Client) -> None:
    reply = post(client, {"input_data": table([GOOD, item, GOOD], index=["a", 7, "c"])})
    answer = reply.json()
    assert reply.status_code == 422
    assert list(answer) == ["message", "errors", "results"]
    assert answer["message"] == "1 of 3 images could not be read"
    assert [(error["position"], error["index"]) for error in answer["errors"]] == [(1, 7)]
    assert words in answer["errors"][0]["reason"]
    assert answer["results"][1] is None
    assert answer["results"][0] == answer["results"][2] == score(client, [GOOD]).json()[0]
    assert reply.headers["x-ms-run-function-failed"] == "True"


@pytest.mark.parametrize("content_type", [None, "text/plain", "text/json", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(content_type: str | None, client: httpx.Client) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    reply = client.post("/score", content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()) == (415, {"message": "Expects Content-Type to be application/json"})


def test_a_charset_in_the_content_type_is_fine(client: httpx.Client) -> None:
    body = {"input_data": table([GOOD])}
    assert post(client, body, headers={"content-type": "application/json; charset=utf-8"}).status_code == 200


def test_more_images_than_the_window_holds_are_served(client: httpx.Client) -> None:
    reply = score(client, [GOOD] * 80)  # 32 places in the ensemble, 16 for one request
    assert reply.status_code == 200
    assert len(reply.json()) == 80


def test_a_threshold_may_be_raised_and_not_lowered(client: httpx.Client) -> None:
    scores = [box["score"] for box in score(client, [GOOD]).json()[0]["boxes"]]
    raised = score(client, [GOOD], params={"box_score_threshold": 0.7}).json()[0]["boxes"]
    assert [box["score"] for box in raised] == [value for value in scores if value > 0.7]
    lowered = score(client, [GOOD], params={"box_score_threshold": 0}).json()[0]["boxes"]
    assert [box["score"] for box in lowered] == scores


def test_a_request_id_is_echoed_made_up_or_refused(client: httpx.Client) -> None:
    assert client.get("/", headers={"x-request-id": "caller-7"}).headers["x-request-id"] == "caller-7"
    assert len({client.get("/").headers["x-request-id"] for _ in range(3)}) == 3
    assert client.get("/", headers={"x-request-id": "x" * 100}).status_code == 200
    reply = client.get("/", headers={"x-request-id": "x" * 101})
    assert (reply.status_code, reply.json()) == (431, {"message": "x-request-id must not exceed 100 characters"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/score", 405), ("GET", "/score", 405), ("GET", "/nowhere", 404), ("POST", "/", 405)],
)
def test_other_methods_and_paths_are_refused_as_json(method: str, path: str, status: int, client: httpx.Client) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert list(reply.json()) == ["message"]


def test_options_of_score_is_200(client: httpx.Client) -> None:
    reply = client.options("/score")
    assert (reply.status_code, reply.headers["allow"]) == (200, "OPTIONS, POST")


def test_a_body_over_the_limit_is_413(client: httpx.Client) -> None:
    for body in (b" " * 4_000_001, iter([b" " * 500_000] * 9)):
        reply = client.post("/score", content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 413
        assert "4000000 bytes" in reply.json()["message"]


def test_the_health_routes_answer(client: httpx.Client) -> None:
    assert (client.get("/").status_code, client.get("/").text) == (200, "Healthy")
    assert [client.get(f"/{name}").status_code for name in ("ping", "health", "livez", "readyz", "startupz")] == [
        200
    ] * 5
    assert client.get("/version").text[0].isdigit()


@pytest.mark.parametrize("name", ["dataframe_split", "dataframe_records"])
def test_invocations_answer_as_mlflow_does(name: str, client: httpx.Client) -> None:
    data = [GOOD, GOOD]
    body = {name: table(data) if name == "dataframe_split" else [{"image": item, "id": 1} for item in data]}
    reply = post(client, body, "/invocations")
    assert reply.status_code == 200
    assert list(reply.json()) == ["predictions"]
    assert reply.json()["predictions"] == score(client, data).json()


@pytest.mark.parametrize(
    "body",
    [
        {"input_data": table([])},
        {"dataframe_split": table([]), "dataframe_records": []},
        {"dataframe_records": [{"picture": 1}]},
        {"dataframe_records": {"image": 1}},
        {"dataframe_split": []},
    ],
)
def test_other_invocations_are_refused(body: dict[str, Any], client: httpx.Client) -> None:
    reply = post(client, body, "/invocations")
    assert reply.status_code == 400
    assert "dataframe" in reply.json()["message"]


def test_the_headers_of_the_original_are_sent(client: httpx.Client) -> None:
    reply = score(client, [GOOD])
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert float(reply.headers["x-ms-run-fn-exec-ms"]) > 0
    assert reply.headers["content-type"] == "application/json"
    stages = [entry.partition(";dur=")[0] for entry in reply.headers["server-timing"].split(", ")]
    assert stages == ["read", "parse", "inference", "write", "wait", "triton", "total"]


def test_the_models_own_steps_are_told_where_one_asks(client: httpx.Client, gateway: RunningGateway) -> None:
    """By `Server-Timing`, of a request with one image; the body and every other answer stay as they are."""
    plain = score(client, [GOOD])
    asked = post(client, {"input_data": table([GOOD])}, headers={"x-vfnet-about": "steps"})
    assert asked.content == plain.content
    names = [entry.partition(";dur=")[0] for entry in asked.headers["server-timing"].split(", ")]
    assert names[:6] == ["read", "parse", "inference", "write", "wait", "triton"]
    assert {"preprocess.decode", "detector.queue", "detector.network", "postprocess.nms"} <= set(names[6:-1])
    many = post(client, {"input_data": table([GOOD, GOOD])}, headers={"x-vfnet-about": "steps"})
    assert "preprocess" not in many.headers["server-timing"]

    def lines() -> list[dict[str, Any]]:
        return [line for line in gateway.log_lines() if line.get("request_id") == many.headers["x-request-id"]]

    assert eventually(lambda: bool(lines()))  # the line is written after the answer
    (line,) = lines()
    assert line["answered_by"] == "vfnet"
    assert re.fullmatch("[0-9a-f]{16}", line["checkpoint"])


def shape(value: Any) -> Any:
    """The structure of a JSON value: keys in their order, types at the ends."""
    if isinstance(value, dict):
        return [(key, shape(entry)) for key, entry in value.items()]
    return [shape(value[0])] if isinstance(value, list) else type(value)


def test_an_answer_is_built_and_ordered_as_the_documented_sample(client: httpx.Client) -> None:
    sample = json.loads(
        '[{"boxes": [{"box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.8, "bottomY": 0.7}, '
        '"label": "carton", "score": 0.98}]}]'
    )
    reply = score(client, [GOOD])
    assert shape(reply.json()) == shape(sample)
    assert reply.text == json.dumps(reply.json())


@needs_shared
@pytest.mark.parametrize("version", ["2", "3"])
def test_the_swagger_documents_describe_what_theirs_describe(version: str, client: httpx.Client) -> None:
    theirs = json.loads((CONTRACT / f"swagger_v{version}.json").read_text())
    ours = client.get("/swagger.json", params={"version": version}).json()
    assert ours["info"].keys() == theirs["info"].keys()
    assert {**ours, "info": None} == {**theirs, "info": None}


def test_swagger_comes_in_three_versions(client: httpx.Client) -> None:
    assert client.get("/swagger.json").json()["swagger"] == "2.0"
    assert client.get("/swagger.json?version=3").json()["openapi"] == "3.0.3"
    assert client.get("/swagger.json?version=3.1").json()["openapi"] == "3.1.0"
    reply = client.get("/swagger.json?version=4")
    assert reply.status_code == 404
    assert "2, 3, 3.1" in reply.json()["message"]


@pytest.fixture(scope="module")
def detecting(server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway in front of the real network."""
    with running_gateway(server.grpc_url, tmp_path_factory.mktemp("detecting")) as running:
        yield running


@needs_shared
@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_the_published_bodies_are_answered_as_the_client_detects(
    path: Path, detecting: RunningGateway, server: ServedRepository
) -> None:
    body = path.read_bytes()
    items = [item[0] if isinstance(item, list) else item for item in json.loads(body)["input_data"]["data"]]
    with detecting.client() as http, VFNetClient(server.grpc_url) as direct:
        reply = post(http, body)
        assert reply.status_code == 200, reply.text
        expected = [direct.detect(base64.decodebytes(item.encode())).to_json() for item in items]
    assert reply.json() == expected
    assert all(by_class_then_score(result["boxes"], expected_class_order(server)) for result in reply.json())


def expected_class_order(server: ServedRepository) -> Callable[[str], int]:
    names = (server.repository / "vfnet" / "labels.txt").read_text().splitlines()
    return names.index


def by_class_then_score(boxes: list[dict[str, Any]], class_index: Callable[[str], int]) -> bool:
    order = [(class_index(box["label"]), -box["score"]) for box in boxes]
    return order == sorted(order)


def test_a_result_does_not_depend_on_its_neighbours(detecting: RunningGateway) -> None:
    wide = base64.b64encode(strip_png(90)).decode()
    with detecting.client() as http:
        together = score(http, [GOOD, wide, GOOD]).json()
        assert together == [score(http, [item]).json()[0] for item in (GOOD, wide, GOOD)]
