"""Whatever a server answers, a caller gets detections or one printable sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2, service_pb2_grpc

from fuzzing import JSON, examples
from scripted_site import answer, scripted_site
from vfnet_client.async_client import AsyncVFNetClient
from vfnet_client.detections import Detections
from vfnet_client.exceptions import VFNetClientError
from vfnet_client.safe_text import is_printable_line

BOX = {"box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.3, "bottomY": 0.4}, "label": "can", "score": 0.5}
GOOD = {"boxes": [BOX]}
PATHS = {"triton": "/v2/models/vfnet/infer", "score": "/score"}


def detect(kind: str, script: bytes) -> Detections:
    """What a client makes of it that asks Triton over HTTP, or a /score endpoint."""

    async def run() -> Detections:
        async with scripted_site({PATHS[kind]: script}) as site:
            url = site.url("/score" if kind == "score" else "")
            async with AsyncVFNetClient(url, timeout=20, retries=0) as client:
                return await client.detect(b"image")

    return asyncio.run(run())


def triton_says(detections: str, **changes: Any) -> bytes:
    output = {"name": "DETECTIONS", "datatype": "BYTES", "shape": [1], "data": [detections]} | changes
    return json.dumps({"outputs": [output]}).encode()


def refused(kind: str, script: bytes) -> str:
    with pytest.raises(VFNetClientError) as raised:
        detect(kind, script)
    assert is_printable_line(str(raised.value))
    assert len(str(raised.value)) < 3000
    return str(raised.value)


def test_what_is_documented_is_read() -> None:
    for kind, body in (("triton", triton_says(json.dumps(GOOD))), ("score", json.dumps([GOOD]).encode())):
        assert detect(kind, answer(body, media_type="application/json")).to_json() == GOOD


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "422 Unprocessable", "500 Oops", "503 No \x1b[31m"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"error": "\\ud800 \\u001b[31m\\nforged", "message": "\\ud800", "errors": [{"reason": "\\u202e"}]}',
        b'{"error": {"a": [1]}, "message": null, "errors": []}',
        b'{"outputs": [{"name": "DETECTIONS"}]}',
        b"null",
        b"[NaN]",
        b"<html>",
        b'{"error": "' + b"long " * 100_000 + b'"}',
    ],
    ids=["empty", "no text", "deep", "digits", "escapes", "kinds", "keys", "null", "nan", "page", "long"],
)
def test_answers_that_are_none(kind: str, status: str, body: bytes) -> None:
    refused(kind, answer(body, status=status, media_type="application/json"))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**70]},
        {"shape": [-1, 0]},
        {"shape": [1] * 1000},
        {"data": [7]},
        {"data": []},
        {"data": ["\ud800"]},
        {"data": [[["x"]]]},
        {"datatype": "FP32", "data": [10**400]},
        {"datatype": "FP99"},
        {"datatype": ["BYTES"]},
        {"datatype": "FP32", "data": [1.5]},
    ],
    ids=lambda changes: json.dumps(changes)[:30],
)
def test_tensors_that_lie(changes: dict[str, Any]) -> None:
    refused("triton", answer(triton_says("{}", **changes), media_type="application/json"))


@pytest.mark.parametrize(
    "detections",
    [
        '{"boxes": [{}]}',
        '{"boxes": 3}',
        "[]",
        "[" * 5000,
        json.dumps({"boxes": [BOX | {"score": float("nan")}]}),
        json.dumps({"boxes": [BOX | {"score": 10**400}]}),
        json.dumps({"boxes": [BOX | {"score": "high"}]}),
        json.dumps({"boxes": [BOX | {"label": None}]}),
        json.dumps({"boxes": [BOX | {"box": {"topX": float("inf")} | {"topY": 0, "bottomX": 0, "bottomY": 0}}]}),
        '{"boxes": [' + "{}," * 1_100_000 + "{}]}",
    ],
    ids=lambda text: text[:40],
)
def test_detections_that_are_none(detections: str) -> None:
    refused("triton", answer(triton_says(detections), media_type="application/json"))


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize(
    "when", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +99999999999999", "9" * 5000]
)
def test_a_date_that_is_none_is_no_time_to_wait(kind: str, when: str) -> None:
    refused(kind, answer(b"{}", f"Retry-After: {when}", status="503 Away", media_type="application/json"))


def test_labels_become_lines_that_any_file_can_hold() -> None:
    labels = ["two\nlines", "\x1b[31m", "lone \ud800", "x" * 10**6]
    found = Detections.from_json({"boxes": [BOX | {"label": label} for label in labels]})
    assert [box.label for box in found.boxes[:3]] == ["two\\nlines", "\\x1b[31m", "lone \\ud800"]
    assert len(found.boxes[3].label) == 500
    json.dumps(found.to_json(), ensure_ascii=False).encode()


@pytest.fixture
def small_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("vfnet_client.http_transport._MOST_ANSWER", 1 << 20)
    return


@pytest.mark.usefixtures("small_answers")
@pytest.mark.parametrize("kind", PATHS)
def test_answers_are_bounded_and_never_decompressed(kind: str) -> None:
    assert "larger than 1 MiB" in refused(kind, answer(bytes(2 << 20)))
    bomb = gzip.compress(gzip.compress(bytes(1 << 20)))
    for encoding in ("gzip", "gzip, gzip", "br", "deflate"):
        assert "compresses its answer" in refused(kind, answer(bomb, f"Content-Encoding: {encoding}"))


@settings(deadline=None, max_examples=examples(150))
@given(document=JSON)
def test_any_json_is_detections_or_an_error(document: Any) -> None:
    for text in (
        json.dumps({"boxes": document}),
        json.dumps({"boxes": [BOX | {"label": document}]}),
        json.dumps(document),
    ):
        try:
            found = Detections.from_json(text)
        except ValueError:
            continue
        assert all(is_printable_line(box.label) for box in found.boxes)
        json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode()


@settings(deadline=None, max_examples=examples(60))
@given(
    kind=st.sampled_from(sorted(PATHS)),
    status=st.sampled_from(["200 OK", "400 Bad", "422 Unread", "500 Oops"]),
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_detections_or_one_sentence(kind: str, status: str, body: bytes) -> None:
    said = ""
    try:
        detect(kind, answer(body, status=status, media_type="application/json"))
    except VFNetClientError as error:
        said = str(error)
    assert is_printable_line(said), ascii(said)


@pytest.fixture(scope="module")
def lying_triton() -> Iterator[tuple[str, list[Any]]]:
    """Its URL over gRPC, and a list whose last item is what it answers."""
    answers: list[Any] = []

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002
            return answers[-1]

    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", answers
    server.stop(None).wait()


def grpc_answer(raw: bytes, name: str = "DETECTIONS", datatype: str = "BYTES", shape: tuple[int, ...] = (1,)) -> Any:
    response = service_pb2.ModelInferResponse(model_name="vfnet", raw_output_contents=[raw])
    response.outputs.add(name=name, datatype=datatype, shape=shape)
    return response


def element(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    "response",
    [
        service_pb2.ModelInferResponse(),
        grpc_answer(b"", shape=(0,)),
        grpc_answer(b"\xff\xff\xff\xff"),
        grpc_answer(element(b"{}"), shape=(2**62,)),
        grpc_answer(element(b"{}"), shape=(-1, -1)),
        grpc_answer(element(b"\xff\xfe{")),
        grpc_answer(element(b"[" * 5000)),
        grpc_answer(element(b"{}"), name="OTHER"),
        grpc_answer(b"1234", datatype="FP32"),
        grpc_answer(b"1234", datatype="FP99"),
    ],
    ids=["nothing", "none", "length", "shape", "negative", "no text", "deep", "other", "numbers", "type"],
)
def test_grpc_tensors_that_lie(lying_triton: tuple[str, list[Any]], response: Any) -> None:
    url, answers = lying_triton
    answers.append(response)

    async def run() -> Detections:
        async with AsyncVFNetClient(url, timeout=20, retries=0) as client:
            return await client.detect(b"image")

    with pytest.raises(VFNetClientError) as raised:
        asyncio.run(run())
    assert is_printable_line(str(raised.value))
