"""What a caller sends costs the others nothing: values, nesting, texts, slow bodies, answers nobody reads, connections.

No Triton is needed for any of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import httpx
import orjson
import psutil
import pytest

from gateway_process import RunningGateway, running_gateway
from score_requests import JSON, post, table
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(120)]
NO_SERVER = "grpc://127.0.0.1:1"
HEAD = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
SOON_S = 5.0
"""Much longer than anything here takes, much shorter than what it guards against."""


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Leave it as it is: others use it too."""
    options = (
        "--body-idle-timeout=1", "--min-body-rate=1000", "--write-timeout=2", "--header-timeout=2",
        "--max-peer-connections=40", "--max-body-bytes=67108864", "--max-held-bytes=67108864", "--timeout=2",
    )  # fmt: skip
    with running_gateway(NO_SERVER, tmp_path_factory.mktemp("bounded"), *options) as running:
        yield running


@pytest.fixture
def client(bounded: RunningGateway) -> Iterator[httpx.Client]:
    with bounded.client() as opened:
        yield opened


@contextlib.contextmanager
def others_are_answered(gateway: RunningGateway) -> Iterator[None]:
    """Meanwhile nobody waits for a short answer longer than a second."""
    stop, slowest = threading.Event(), [0.0]

    def ask() -> None:
        with gateway.client() as other:
            while not stop.is_set():
                started = monotonic()
                assert other.get("/").status_code == 200
                slowest[0] = max(slowest[0], monotonic() - started)
                sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        stop.set()
        asking.join()
    assert slowest[0] < 1


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("eight million numbers", b'{"input_data": {"columns": ["image"], "data": [' + b"1," * 8_000_000 + b"1]}}"),
        ("numbers beside the data", b'{"x": [' + b"1," * 8_000_000 + b'1], "input_data": {"columns": ["image"]}}'),
        ("empty texts", json.dumps({"input_data": table([""] * 200_000)}).encode()),
        ("empty lists", b'{"x": [' + b"[]," * 3_000_000 + b"[]]}"),
        ("closing brackets", b"]" * 10_000_000),
        ("quotes", b'"' * 10_000_000),
        ("more images than are allowed", json.dumps({"input_data": table(["a"] * 1001)}).encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_more_values_than_a_request_needs_are_refused_before_they_cost(
    what: str, body: bytes, bounded: RunningGateway, client: httpx.Client
) -> None:
    started = monotonic()
    with others_are_answered(bounded):
        reply = post(client, body)
    assert reply.status_code == 413, what
    assert "values" in reply.json()["message"] or "1001 images" in reply.json()["message"]
    assert monotonic() - started < SOON_S


def test_as_many_images_as_are_allowed_are_looked_at(bounded: RunningGateway, client: httpx.Client) -> None:
    with others_are_answered(bounded):
        reply = post(client, {"input_data": table([["a", ""]] * 1000) | {"columns": ["id", "image"]}})
    assert reply.status_code == 422
    assert reply.json()["message"] == "1000 of 1000 images could not be read"


@pytest.mark.parametrize("path", ["/score", "/invocations"])
@pytest.mark.parametrize("depth", [65, 960, 100_000])
def test_deep_nesting_is_refused(depth: int, path: str, client: httpx.Client) -> None:
    nested = b"[" * depth + b"]" * depth
    name = b"input_data" if path == "/score" else b"dataframe_split"
    body = b'{"%s": {"columns": ["image"], "data": ["x"], "index": [%s]}}' % (name, nested)
    reply = post(client, body, path)
    assert reply.status_code in (400, 413)
    assert list(reply.json()) == ["message"]


def test_brackets_in_texts_are_no_nesting(client: httpx.Client) -> None:
    index = ["[{" * 500, '\\" [[[[ ' * 100, "\\" * 99]
    reply = post(client, {"input_data": table(["", "", ""], index=index)})
    assert reply.status_code == 422
    assert [error["index"] for error in reply.json()["errors"]] == index


@pytest.mark.parametrize(
    "item",
    [
        b'"data:image/png;base64,%\\ud800"',
        b'"data:image/png;base64,\\udfff"',
        b'"\\ud800"',
        b'"http://\\ud800.example/"',
    ],
)
def test_a_lone_surrogate_is_an_unreadable_image(item: bytes, client: httpx.Client) -> None:
    body = b'{"input_data": {"columns": ["image"], "index": ["\\udc00 \\u202e"], "data": [%s]}}' % item
    reply = post(client, body)
    assert reply.status_code == 422
    answer = orjson.loads(reply.content)  # which no lone surrogate passes
    assert answer["errors"][0]["reason"].isprintable()
    assert answer["errors"][0]["index"] == "\\udc00 \u202e"


def test_an_index_of_lists_is_echoed_shortened(client: httpx.Client) -> None:
    reply = post(client, {"input_data": table([""], index=[["\n" * 1000]])})
    echoed = reply.json()["errors"][0]["index"]
    assert len(echoed) <= 200
    assert echoed.isprintable()


def connected(gateway: RunningGateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=30)


def has_connection(gateway: RunningGateway, port: int) -> bool:
    """Whether the gateway still has the connection that came from this port."""
    found = psutil.Process(gateway.process.pid).net_connections("tcp")
    return any(each.raddr and each.raddr.port == port for each in found)


def first_line(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n" not in answer and (chunk := connection.recv(4096)):
            answer += chunk
    return answer.partition(b"\r\n")[0]


def test_bodies_that_are_announced_and_do_not_come_lock_out_nobody(
    bounded: RunningGateway, client: httpx.Client
) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(8):
            connection = opened.enter_context(connected(bounded))
            connection.sendall(HEAD + b"content-length: 67108864\r\n\r\n{")
        body = json.dumps({"input_data": table([]), "padding": "x" * 10_000_000}).encode()
        started = monotonic()
        assert post(client, body).status_code == 200
        assert monotonic() - started < SOON_S


def test_a_body_that_drips_is_408(bounded: RunningGateway) -> None:
    with connected(bounded) as connection:
        connection.sendall(HEAD + b"content-length: 1000000\r\n\r\n")
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.1):
                    connection.sendall(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert first_line(connection).startswith(b"HTTP/1.1 408")
        finally:
            stop.set()
            dripping.join()


@pytest.mark.parametrize("path", [b"/score", b"/invocations", b"/ui/picture"])
def test_a_body_that_does_not_come_is_408_at_every_route(path: bytes, bounded: RunningGateway) -> None:
    with connected(bounded) as connection:
        connection.sendall(HEAD.replace(b"/score", path) + b"content-length: 100\r\n\r\n{")
        started = monotonic()
        assert first_line(connection).startswith(b"HTTP/1.1 408")
        assert monotonic() - started < SOON_S


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(bounded: RunningGateway) -> None:
    length = 30_000_000
    body = b'{"input_data": {"columns": ["image"], "data": [""], "index": ["%s"]}}' % (b"x" * length)
    with connected(bounded) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 422")
        assert eventually(lambda: not has_connection(bounded, connection.getsockname()[1]))
        received = 100
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 20):
                received += len(chunk)
    assert received < length


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        HEAD + b"content-length: +3\r\n\r\nabc",
        HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000 + b"0\r\n\r\n",
        HEAD + b"host: elsewhere\r\n\r\n",
        HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        HEAD + b"x: y\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "a sign", "chunked twice", "a blank", "tiny chunks", "two hosts",
         "a long header", "many headers", "no host", "a null byte", "TLS"],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    request_: bytes, bounded: RunningGateway
) -> None:
    with connected(bounded) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request_)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                answer += chunk
    assert len(re.findall(rb"HTTP/1.1 \d", answer)) <= 1
    assert answer[9:10] in (b"4", b"5", b"")  # 501: a transfer coding that nobody knows
    with bounded.client() as client:
        assert client.get("/").status_code == 200


def test_one_address_holds_so_many_connections_and_leaves_room_again(bounded: RunningGateway) -> None:
    def is_open(connection: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return bool(connection.recv(100))
        return False

    assert eventually(lambda: answers(bounded), 10)
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(connected(bounded)) for _ in range(60)]
        alive = sum(map(is_open, connections))
        assert 30 < alive <= 40
    assert eventually(lambda: answers(bounded), 10)


def answers(gateway: RunningGateway) -> bool:
    with contextlib.suppress(httpx.HTTPError), gateway.client() as client:
        return client.get("/").status_code == 200
    return False


def test_what_was_refused_left_nothing_behind(bounded: RunningGateway) -> None:
    assert eventually(lambda: bounded.metric("vfnet_gateway_held_bytes") == 0, 20)
    assert eventually(lambda: bounded.metric("vfnet_gateway_requests_in_flight") == 1, 20)  # this one
    log: list[dict[str, Any]] = bounded.log_lines()
    assert not [line for line in log if line.get("level") == "ERROR"]
    assert JSON
