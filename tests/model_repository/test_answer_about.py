"""What an answer says of itself, at a server that runs: only where its request asks."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc
import tritonclient.http

from triton_server import ServedRepository
from vfnet_client.answer_about import HEADER, without_about
from vfnet_client.grpc_transport import infer_inputs
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE

pytestmark = pytest.mark.served

ROWS = [
    "preprocess", "preprocess.wait", "preprocess.decode", "preprocess.resize",
    "detector", "detector.queue", "detector.wait", "detector.network", "detector.candidates",
    "postprocess", "postprocess.queue", "postprocess.nms", "postprocess.write",
]  # fmt: skip


def detections(served: ServedRepository, asked: str | None) -> list[bytes]:
    """Over gRPC and over HTTP."""
    headers = {} if asked is None else {HEADER: asked}
    found = []
    ways: tuple[tuple[Any, str], ...] = (
        (tritonclient.grpc, served.grpc_url.partition("//")[2]), (tritonclient.http, served.http_url.partition("//")[2])
    )  # fmt: skip
    for protocol, address in ways:
        with protocol.InferenceServerClient(address) as client:
            inputs = infer_inputs(protocol, SAMPLE_PICTURE.read_bytes())
            found.append(client.infer("vfnet", inputs, headers=headers).as_numpy("DETECTIONS")[0])
    return found


@pytest.mark.parametrize("asked", ["", "something", "Origin"])
def test_an_answer_that_nobody_asks_is_the_same_to_the_byte(quick_server: ServedRepository, asked: str) -> None:
    expected = detections(quick_server, None)
    assert not any(b"about" in document for document in expected)
    assert detections(quick_server, asked) == expected


def test_a_header_of_any_bytes_costs_no_image_its_answer_or_its_place(quick_server: ServedRepository) -> None:
    address = quick_server.http_url.partition("//")[2]
    inputs = infer_inputs(tritonclient.http, SAMPLE_PICTURE.read_bytes())
    body, json_bytes = tritonclient.http.InferenceServerClient.generate_request_body(inputs)
    for asked in (b"origin,\xff", b"\xed\xa0\x80", b'origin", "x": "'):
        connection = http.client.HTTPConnection(address, timeout=30)
        with contextlib.closing(connection):
            headers = {HEADER: asked, "Inference-Header-Content-Length": str(json_bytes)}
            connection.request("POST", "/v2/models/vfnet/infer", body, headers)
            assert connection.getresponse().status == 200
    assert quick_server.images_inside() == 0


def test_it_says_who_answered_by_which_checkpoint(quick_server: ServedRepository) -> None:
    manifest: Path = quick_server.repository / "vfnet_build.json"
    checksum = json.loads(manifest.read_text())["checkpoint_sha256"]
    plain = detections(quick_server, None)
    for document, expected in zip(detections(quick_server, "origin"), plain, strict=True):
        without, about = without_about(document)
        assert without == expected
        assert about is not None
        assert (about.answered_by, about.checkpoint, about.steps) == ("vfnet", checksum[:16], ())
        assert len(checksum) == 64


def test_it_says_where_this_images_time_went(quick_server: ServedRepository) -> None:
    for document in detections(quick_server, "origin,steps"):
        about = without_about(document)[1]
        assert about is not None
        assert [name for name, _ in about.steps] == ROWS
        took = dict(about.steps)
        for model in ("preprocess", "detector", "postprocess"):
            inside = sum(ms for name, ms in about.steps if name.startswith(f"{model}.") and not name.endswith("queue"))
            assert 0 <= inside <= took[model] + 0.01  # what rounding leaves
        assert took["preprocess.decode"] > 0
        assert took["postprocess.nms"] > 0
