"""The clients against a real server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from vfnet_client import (
    AsyncVFNetClient,
    DeadlineExceededError,
    Detections,
    InvalidImageError,
    VFNetClient,
    VFNetClientError,
)
from vfnet_client.transport import open_transport

pytestmark = pytest.mark.served

REQUESTS = Path(__file__).parents[3] / "shared" / "contract" / "requests"
REQUEST_NAMES = [
    "req_56_cli_encodebytes_index.json",
    "req_99_31_card_std_b64_two.json",
    "req_99_finetune_nb_noindex.json",
    "req_99_nested.json",
    "req_99_online_nb_encodebytes_index.json",
]


def strip(top: int, height: int = 100, width: int = 640, picture: str = "flower.jpg") -> np.ndarray:
    """uint8 [height, width, 3]: a wide part of a photo, which the network's resize keeps small and cheap."""
    return np.ascontiguousarray(load_sample_image(picture)[top : top + height, :width])


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[VFNetClient]:
    with VFNetClient(server.grpc_url) as opened:
        yield opened


def test_grpc_and_http_give_identical_detections(server: Any, client: VFNetClient) -> None:
    image = png(strip(100))
    over_grpc = client.detect(image)
    with VFNetClient(server.http_url) as over_http:
        assert over_http.detect(image) == over_grpc
        assert over_http.is_ready()
    assert client.is_ready()
    assert len(over_grpc.boxes) > 0


def test_every_form_of_an_image_gives_the_same_detections(client: VFNetClient, tmp_path: Path) -> None:
    pixels = strip(100)
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    expected = client.detect(png(pixels))
    for image in (path, str(path), Image.fromarray(pixels), pixels, bytearray(png(pixels))):
        assert client.detect(image) == expected


def test_the_typed_outputs_agree_with_the_json(server: Any) -> None:
    async def both(url: str) -> dict[str, Any]:
        transport = open_transport(url)
        try:
            return await transport.infer(png(strip(100)), outputs=("BOXES", "SCORES", "LABELS", "DETECTIONS"))
        finally:
            await transport.close()

    for url in (server.grpc_url, server.http_url):
        outputs = asyncio.run(both(url))
        found = Detections.from_json(outputs["DETECTIONS"][0])
        boxes = [box.in_pixels(640, 100) for box in found.boxes]
        np.testing.assert_allclose(outputs["BOXES"], boxes, atol=1e-3)
        np.testing.assert_allclose(outputs["SCORES"], [box.score for box in found.boxes], atol=1e-6)
        assert (outputs["BOXES"].dtype, outputs["SCORES"].dtype) == (np.float32, np.float32)
        assert outputs["LABELS"].dtype == np.int32
        assert list(np.diff(outputs["LABELS"]) >= 0) == [True] * (len(boxes) - 1)


def test_a_threshold_keeps_only_what_scores_higher(client: VFNetClient) -> None:
    image = png(strip(100))
    everything = client.detect(image)
    threshold = float(np.median([box.score for box in everything.boxes]))
    raised = client.detect(image, score_threshold=threshold)
    assert 0 < len(raised.boxes) < len(everything.boxes)
    assert min(box.score for box in raised.boxes) > threshold
    assert client.detect(image, score_threshold=0.0) == everything  # a lower one changes nothing


def test_a_burst_of_mixed_sizes_comes_back_in_order(client: VFNetClient) -> None:
    images = [png(strip(20 * i, 60 + i % 3 * 20, 640 - i % 4 * 40)) for i in range(12)]
    outcomes = list(client.detect_many(images))
    assert [outcome.position for outcome in outcomes] == list(range(12))
    assert [outcome.image for outcome in outcomes] == images
    for i in (0, 4, 11):
        assert outcomes[i].result() == client.detect(images[i])
    assert len({str(outcome.result()) for outcome in outcomes}) > 6  # so that a wrong order would show


def test_the_async_client_gives_what_the_sync_one_gives(server: Any, client: VFNetClient) -> None:
    images = [png(strip(top)) for top in (0, 60, 120)]

    async def detect() -> tuple[Detections, list[Detections]]:
        async with AsyncVFNetClient(server.grpc_url) as opened:
            many = [outcome.result() async for outcome in opened.detect_many(images)]
            return await opened.detect(images[1]), many

    one, many = asyncio.run(detect())
    assert many == [outcome.result() for outcome in client.detect_many(images)]
    assert one == many[1]


@pytest.mark.parametrize("protocol", ["grpc_url", "http_url"])
def test_a_bad_image_is_an_outcome_among_good_ones(server: Any, protocol: str) -> None:
    good = png(strip(100))
    images: list[Any] = [good, b"no image", good[:2000], b"", Path("missing.png"), None, good]
    with VFNetClient(getattr(server, protocol)) as client:
        outcomes = list(client.detect_many(images))
        with pytest.raises(InvalidImageError):
            client.detect(b"no image")
    assert [type(outcome.error) for outcome in outcomes] == [type(None), *[InvalidImageError] * 5, type(None)]
    assert outcomes[0].result() == outcomes[-1].result()
    for outcome in outcomes[1:-1]:
        with pytest.raises(InvalidImageError):
            outcome.result()
        # The reason is for the caller: nothing of the server's insides.
        assert "ensemble" not in str(outcome.error)
        assert "Traceback" not in str(outcome.error)


def test_a_crowd_of_images_at_once_is_served_whole(server: Any) -> None:
    with VFNetClient(server.grpc_url, concurrency=200) as crowd:
        outcomes = list(crowd.detect_many([png(strip(i, 8)) for i in range(60)]))
    assert [outcome.error for outcome in outcomes] == [None] * 60


def test_an_answer_later_than_the_timeout_is_a_missed_deadline(server: Any) -> None:
    for url in (server.grpc_url, server.http_url):
        with VFNetClient(url, timeout=0.001) as hasty, pytest.raises(DeadlineExceededError, match=r"0\.001 s"):
            hasty.detect(png(strip(0, 400)))


def test_leaving_early_and_closing_leave_nothing_behind(server: Any) -> None:
    client = VFNetClient(server.grpc_url, concurrency=2)
    outcomes = client.detect_many(png(strip(i, 20)) for i in range(100))
    next(outcomes).result()
    client.close()
    client.close()
    assert not any(thread.name == "vfnet-client" and not thread.daemon for thread in threading.enumerate())
    with pytest.raises(VFNetClientError, match="closed"):
        client.detect(b"image")


@pytest.mark.parametrize("name", REQUEST_NAMES)
def test_the_published_recipes_requests_are_answered(name: str, client: VFNetClient) -> None:
    path = REQUESTS / name
    if not path.exists():
        pytest.skip(f"the contract's request files are not here: {path.name}")
    reply = client.score(path.read_bytes())
    assert reply.status == 200
    answer = json.loads(reply.body)
    data = np.ravel(json.loads(path.read_bytes())["input_data"]["data"])
    assert len(answer) == len(data)
    for result, item in zip(answer, data, strict=True):
        assert Detections.from_json(result) == client.detect(base64.decodebytes(item.encode()))
        assert Detections.from_json(result).to_json() == result
    assert json.dumps(answer).encode() == reply.body


def test_a_request_with_unreadable_images_keeps_every_good_result(client: VFNetClient) -> None:
    good = base64.b64encode(png(strip(100))).decode()
    data = [good, None, base64.b64encode(b"no image").decode(), [good], "!"]
    request = {"input_data": {"columns": ["image"], "index": ["a", "b", 7, 7, "e"], "data": data}}
    reply = client.score(request)
    answer = json.loads(reply.body)
    assert reply.status == 422
    assert list(answer) == ["message", "errors", "results"]
    assert answer["message"] == "3 of 5 images could not be read"
    assert [(error["position"], error["index"]) for error in answer["errors"]] == [(1, "b"), (2, 7), (4, "e")]
    assert [result is None for result in answer["results"]] == [False, True, True, False, True]
    assert answer["results"][0] == answer["results"][3] == client.detect(png(strip(100))).to_json()


@pytest.mark.parametrize(
    ("request_body", "status", "body"),
    [
        (b'{"input_data": {"columns": ["image"]}}', 200, b"[]"),
        (b"[]", 400, b'{"message": "POST body should be a JSON dictionary."}'),
    ],
)
def test_a_request_without_images_needs_no_inference(
    request_body: bytes, status: int, body: bytes, client: VFNetClient
) -> None:
    assert client.score(request_body) == (status, body)


def test_a_requests_threshold_reaches_the_server(client: VFNetClient) -> None:
    item = base64.b64encode(png(strip(100))).decode()
    request = {"input_data": {"columns": ["image"], "data": [item]}, "params": {"box_score_threshold": 1}}
    assert client.score(request) == (200, b'[{"boxes": []}]')


def test_images_by_url_are_fetched(client: VFNetClient) -> None:
    image = png(strip(100))

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/a.png" else 410)
            self.end_headers()
            self.wfile.write(image)

        def log_message(self, *_: object) -> None:
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        root = f"HTTP://127.0.0.1:{site.server_address[1]}"
        request = {"input_data": {"columns": ["image"], "data": [f"{root}/a.png", f"{root}/b.png"]}}
        answer = json.loads(client.score(request).body)
        assert client.detect(f"{root}/a.png").to_json() == answer["results"][0]
        assert "answered with status 410" in answer["errors"][0]["reason"]
    finally:
        site.shutdown()
        site.server_close()
