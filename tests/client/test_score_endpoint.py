"""The client at a /score endpoint: against a real HTTP server that answers as a test wants, in turn."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import vfnet_client
from vfnet_client import (
    AccessDeniedError,
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    InvalidOptionsError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    UnsupportedOptionsError,
    VFNetClient,
    VFNetClientError,
)
from vfnet_client.cli import main
from vfnet_client.score_parameters import PARAMETERS_HEADER

RESULT = {"boxes": [{"box": {"topX": 0.1, "topY": 0.2, "bottomX": 0.8, "bottomY": 0.7}, "label": "cat", "score": 0.9}]}
REQUEST = {"input_data": {"columns": ["image"], "data": ["aW1hZ2U="]}}
LOST = "the connection is lost before an answer"


@dataclass
class Endpoint:
    """Its URL, the answers it gives in turn (the last one for ever), and the requests it had."""

    url: str
    answers: list[Any]
    bodies: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass


Start = Callable[..., Endpoint]


@pytest.fixture
def endpoint() -> Iterator[Start]:
    servers = []

    def start(*answers: Any) -> Endpoint:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                made.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                made.headers.append(self.headers)
                made.peers.add(self.client_address)
                answer = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
                if answer == LOST:
                    self.close_connection = True
                    return
                status, body, *headers = answer
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = QuietServer(("127.0.0.1", 0), Handler)
        made = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/score", list(answers))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return made

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("request_body", [REQUEST, json.dumps(REQUEST).encode()])
def test_the_documented_json_goes_there_as_it_is_and_the_answer_comes_back(request_body: Any, endpoint: Start) -> None:
    made = endpoint((200, [RESULT]))
    reply = vfnet_client.score(request_body, made.url, key="a key")
    assert (reply.status, reply.results()) == (200, [RESULT])
    assert json.loads(made.bodies[0]) == REQUEST
    assert made.headers[0]["Content-Type"] == "application/json"
    assert made.headers[0]["Authorization"] == "Bearer a key"


def test_one_bad_image_leaves_the_other_results(endpoint: Start) -> None:
    body = {"message": "1 of 2", "errors": [{"position": 1, "index": 1, "reason": "empty"}], "results": [RESULT, None]}
    reply = vfnet_client.score(REQUEST, endpoint((422, body)).url)
    assert (reply.status, reply.results()) == (422, [RESULT, None])


@pytest.mark.parametrize("status", [400, 413, 415])
def test_what_is_wrong_with_a_request_is_its_reply_and_tried_once(status: int, endpoint: Start) -> None:
    made = endpoint((status, {"message": "say it so"}))
    reply = vfnet_client.score(REQUEST, made.url)
    assert reply.status == status
    with pytest.raises(RequestError, match="say it so") as caught:
        reply.results()
    assert caught.value.status == status
    assert len(made.bodies) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, ServerUnavailableError),
        (429, ServerBusyError),
        (500, InferenceError),
        (503, ServerUnavailableError),
        (504, DeadlineExceededError),
    ],
)
def test_whose_fault_it_is_can_be_told_from_the_error(
    status: int, error: type[VFNetClientError], endpoint: Start
) -> None:
    for body in ({"message": "say it so"}, b"<html>a proxy's page</html>"):
        with pytest.raises(error) as caught:
            vfnet_client.score(REQUEST, endpoint((status, body)).url, retries=0)
        if status != 504:  # which says how long it took instead
            assert ("say it so" if isinstance(body, dict) else f"status {status}") in str(caught.value)


@pytest.mark.parametrize(
    "trouble", [LOST, (503, {"message": "starting"}), (429, {"message": "full"}, ("Retry-After", "0"))]
)
def test_trouble_that_passes_is_not_seen(trouble: Any, endpoint: Start) -> None:
    made = endpoint(trouble, trouble, (200, [RESULT]))
    assert vfnet_client.score(REQUEST, made.url).results() == [RESULT]
    assert len(made.bodies) == 3


def test_without_retries_the_first_trouble_is_seen(endpoint: Start) -> None:
    made = endpoint(LOST, (200, [RESULT]))
    with pytest.raises(ServerUnavailableError):
        vfnet_client.score(REQUEST, made.url, retries=0)
    assert len(made.bodies) == 1


def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(endpoint: Start) -> None:
    made = endpoint((429, {"message": "full"}, ("Retry-After", "3600")), (200, [RESULT]))
    with pytest.raises(ServerBusyError) as caught:
        vfnet_client.score(REQUEST, made.url, timeout=20)
    assert caught.value.retry_after == 3600
    assert len(made.bodies) == 1


def test_single_images_go_through_an_endpoint_too(endpoint: Start) -> None:
    made = endpoint((200, [RESULT]))
    with VFNetClient(made.url) as client:
        assert client.is_ready()
        assert client.detect(b"image", score_threshold=0.5).to_json() == RESULT
        assert [outcome.result().to_json() for outcome in client.detect_many([b"a", b"b", b"c"])] == [RESULT] * 3
    first = json.loads(made.bodies[0])
    assert base64.b64decode(first["input_data"]["data"][0]) == b"image"
    assert first["params"] == {"box_score_threshold": 0.5}


def test_an_endpoint_that_ignores_what_it_is_asked_for_is_found_out(endpoint: Start) -> None:
    obeyed = endpoint((200, [RESULT], (PARAMETERS_HEADER, "classes, max_detections")))
    with VFNetClient(obeyed.url) as client:
        assert client.detect(b"image", classes=["can", 3], max_detections=5).to_json() == RESULT
    assert json.loads(obeyed.bodies[0])["params"] == {"classes": ["can", "3"], "max_detections": 5}
    ignored = endpoint((200, [RESULT]))
    with VFNetClient(ignored.url) as client, pytest.raises(UnsupportedOptionsError, match="ignores classes, nms_iou"):
        client.detect(b"image", classes=["can"], nms_iou=0.5, score_threshold=0.5)


def test_what_an_endpoint_says_of_an_option_ends_it(endpoint: Start) -> None:
    made = endpoint((400, {"message": "CLASSES has 'cam', which is no class of this model; did you mean 'can'?"}))
    with VFNetClient(made.url) as client, pytest.raises(InvalidOptionsError, match="did you mean 'can'"):
        client.detect(b"image", classes=["cam"])
    assert len(made.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            (422, {"message": "1 of 1", "errors": [{"position": 0, "reason": "no image"}], "results": [None]}),
            InvalidImageError,
            "^no image$",
        ),
        ((413, {"message": "too large"}), RequestError, "^too large$"),
        ((200, []), InferenceError, "not answer like a /score endpoint"),
        ((200, b"hello"), InferenceError, "not answer like a /score endpoint"),
        ((200, [{"no": "boxes"}]), InferenceError, "not the documented JSON"),
    ],
)
def test_an_image_that_an_endpoint_refuses_has_its_own_reason(
    answer: Any, error: type[Exception], words: str, endpoint: Start
) -> None:
    with VFNetClient(endpoint(answer).url) as client, pytest.raises(error, match=words):
        client.detect(b"image")


def test_connections_are_used_again(endpoint: Start) -> None:
    made = endpoint((200, [RESULT]))
    with VFNetClient(made.url, concurrency=1) as client:
        assert len(list(client.detect_many([b"image"] * 5))) == 5
    assert len(made.peers) == 1


def test_the_command_line_posts_to_an_endpoint(
    endpoint: Start, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST))
    made = endpoint((200, [RESULT]))
    assert main(["score", str(path), "--server", made.url, "--key", "a key"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == [RESULT]
    assert made.headers[0]["Authorization"] == "Bearer a key"
    assert main(["score", str(path), "--server", endpoint((400, {"message": "no"})).url]) == 2
    assert main(["score", str(path), "--server", endpoint((401, {"message": "no"})).url]) == 1
