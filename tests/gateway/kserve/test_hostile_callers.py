"""Attacks on this door: all are refused, none reaches Triton, and whoever comes next is answered as before."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import httpx
import psutil
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2

from gateway_process import RunningGateway
from kserve_requests import (
    INFER,
    SERVICE,
    answer_of,
    base64_input,
    binary_input,
    call,
    channel,
    infer_message,
    post_binary,
    post_json,
    refusal,
    tensor,
)
from triton_server import ServedRepository
from waiting import eventually

pytestmark = pytest.mark.served

BRACKETS = 2_000_000 - 100
"""As many as the gateway of these tests has room for."""
MODELS = ("vfnet", "vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")


def touched(server: ServedRepository) -> list[tuple[int, int]]:
    """Triton's counts of requests by model, answered and failed."""
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    counts = []
    for model in MODELS:
        (entry,) = client.get_inference_statistics(model).model_stats
        counts.append((entry.inference_stats.success.count, entry.inference_stats.fail.count))
    client.close()
    return counts


def settled(server: ServedRepository) -> list[tuple[int, int]]:
    """`touched` of a server that is not asked: it counts an answer a moment after it has sent it."""
    counts = touched(server)
    while True:
        time.sleep(0.1)
        if (later := touched(server)) == counts:
            return counts
        counts = later


@dataclass(frozen=True)
class Well:
    """What no attack may change."""

    answer: tuple[bytes, bytes]
    processes: frozenset[int]

    @staticmethod
    def of(gateway: RunningGateway, server: ServedRepository) -> Well:
        """The processes of both: each of the three models', Triton itself, the gateway."""
        children = psutil.Process(server.process.pid).children(recursive=True)
        found = {child.pid for child in children if child.name().startswith("triton")}  # and the models', its stubs
        assert len(found) > len(MODELS[1:])
        return Well(answer_of(gateway), frozenset({gateway.process.pid, *found}))


@pytest.fixture(scope="module")
def well(gateway: RunningGateway, quick_server: ServedRepository) -> Well:
    """Before any attack."""
    return Well.of(gateway, quick_server)


@pytest.fixture(autouse=True)
def _unharmed(gateway: RunningGateway, quick_server: ServedRepository, well: Well) -> Iterator[None]:
    """Around every attack."""
    counts = settled(quick_server)
    yield
    assert touched(quick_server) == counts
    assert Well.of(gateway, quick_server) == well
    assert gateway.metric("vfnet_gateway_images_in_flight") == 0
    assert eventually(lambda: gateway.metric("vfnet_gateway_held_bytes") == 0, 10)
    assert gateway.log_lines()  # every line is JSON, also where gRPC has something to say


CONTROL_PATHS = [
    "/v2/repository/index",
    "/v2/repository/models/vfnet/load",
    "/v2/repository/models/vfnet/unload",
    "/v2/repository",
    "/V2/repository/models/x/load".replace("V2", "v2"),
    "/v2//repository/index",
    "/v2/systemsharedmemory/status",
    "/v2/systemsharedmemory/region/x/register",
    "/v2/cudasharedmemory/region/x/unregister",
    "/v2/trace/setting",
    "/v2/models/vfnet/trace/setting",
    "/v2/logging",
]


@pytest.mark.parametrize("path", CONTROL_PATHS)
def test_paths_of_operators(path: str, client: httpx.Client) -> None:
    for method in ("GET", "POST", "DELETE"):
        reply = client.request(method, path, content=b'{"parameters": {"config": "{}"}}')
        assert reply.status_code == 403
        assert list(reply.json()) == ["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models",
        "/v2/models/",
        "/v2/models/vfnet/generate",
        "/v2/models/vfnet/generate_stream",
        "/v2/models/vfnet_preprocess/infer",
        "/v2/models/vfnet_detector/versions/1/infer",
        "/v2/models/vfnet_postprocess/ready",
        "/v2/models/vfnet/versions/2/infer",
        "/v2/models/vfnet/versions/1/versions/1/infer",
        "/v2/models/..%2Fvfnet/infer",
        "/v2/models/vfnet%00/infer",
        "/v2/%72epository/../models/other",
        "/v2/health",
        "/v1/models/vfnet:predict",
    ],
)
def test_paths_that_are_not_there(path: str, client: httpx.Client) -> None:
    url = httpx.URL(client.base_url, raw_path=path.encode())
    reply = client.post(
        url, content=json.dumps({"inputs": [base64_input()]}).encode(), headers={"content-type": "application/json"}
    )
    assert reply.status_code in (403, 404, 405)


def test_an_escaped_path_of_operators(client: httpx.Client) -> None:
    for path in (b"/v2/%72epository/index", b"/v2/repository%2Findex", b"/v2/models/../repository/index"):
        assert client.post(httpx.URL(client.base_url, raw_path=path)).status_code in (403, 404, 405)


def test_methods_that_a_path_does_not_have(client: httpx.Client) -> None:
    for method, path in (("GET", INFER), ("DELETE", "/v2/models/vfnet"), ("POST", "/v2"), ("PUT", "/v2/health/live")):
        reply = client.request(method, path)
        assert reply.status_code == 405
        assert list(reply.json()) == ["error"]


BODIES = {
    "brackets": b"[" * BRACKETS,
    "brackets in inputs": b'{"inputs":' + b"[" * BRACKETS,
    "objects": b'{"a":' * (BRACKETS // 5),
    "brackets in parameters": b'{"inputs":[],"parameters":{"a":' + b"[" * BRACKETS,
    "numbers": b'{"inputs":[{"name":"IMAGE","shape":[1],"datatype":"BYTES","data":[' + b"0," * (BRACKETS // 2),
    "strings": b'{"inputs":[' + b'"",' * (BRACKETS // 3),
    "shape": b'{"inputs":[{"name":"IMAGE","shape":['
    + b"1," * (BRACKETS // 2)
    + b'1],"datatype":"BYTES","data":[""]}]}',
    "integer": b'{"inputs":[{"name":"SCORE_THRESHOLD","shape":[1],"datatype":"FP32","data":['
    + b"9" * 1_000_000
    + b"]}]}",
    "white space": b" " * BRACKETS,
    "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}",
    "nulls": bytes(BRACKETS),
}


@pytest.mark.parametrize("body", BODIES)
def test_json_that_is_hard_to_read(body: str, client: httpx.Client) -> None:
    for headers in (
        {"content-type": "application/json"},
        {},
        {"inference-header-content-length": str(len(BODIES[body]))},
    ):
        reply = client.post(INFER, content=BODIES[body], headers=headers)
        assert reply.status_code == 400
        assert len(reply.content) < 500


def test_what_ends_triton_as_plain_text(client: httpx.Client) -> None:
    outputs = [{"name": "DETECTIONS", "parameters": {"classification": 3}}]
    body = json.dumps({"inputs": [base64_input()], "outputs": outputs}).encode()
    assert post_json(client, body, headers={"content-type": "text/plain"}).status_code == 415
    assert post_json(client, body).status_code == 400


def test_lengths_that_lie(client: httpx.Client) -> None:
    for size in (2**31, 2**63, 2**64, -1, 10**30):
        head = {"inputs": [binary_input(size)]}
        assert post_binary(client, head, tensor()).status_code == 400
    for element in (0xFFFFFFFF, 0x7FFFFFFF, 0):
        raw = element.to_bytes(4, "little") + tensor()[4:]
        assert post_binary(client, {"inputs": [binary_input(len(raw))]}, raw).status_code == 400


def test_a_body_in_chunks_of_one_byte(gateway: RunningGateway) -> None:
    body = json.dumps({"inputs": []}).encode().ljust(20_000)
    head = f"POST {INFER} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_body_that_drips(gateway: RunningGateway) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100000\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_too_large_a_body(client: httpx.Client) -> None:
    reply = client.post(INFER, content=bytes(4_000_001))
    assert reply.status_code == 413
    assert list(reply.json()) == ["error"]


CONTROL_METHODS = [
    method.name
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if any(word in method.name for word in ("Repository", "SharedMemory", "Trace", "Log"))
]


@pytest.mark.parametrize("method", CONTROL_METHODS)
def test_methods_of_operators(method: str, gateway: RunningGateway) -> None:
    assert len(CONTROL_METHODS) == 11
    code, words = refusal(gateway, method, b"")
    assert code == "PERMISSION_DENIED"
    assert "operator" in words


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/Other",
        "/inference.Other/ModelInfer",
        "/x",
        "//",
    ],
)
def test_methods_that_are_not_there(path: str, gateway: RunningGateway) -> None:
    assert refusal(gateway, path, b"")[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    "message", [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x2a" + b"\x80" * 9, bytes(1_000_000)]
)
def test_messages_that_are_none(message: bytes, gateway: RunningGateway) -> None:
    for method in ("ModelInfer", "ModelMetadata", "ServerLive"):
        assert refusal(gateway, method, message)[0] == "INVALID_ARGUMENT"


def test_no_message_and_a_stream_of_none(gateway: RunningGateway) -> None:
    with channel(gateway) as opened:
        nothing = opened.stream_unary(f"{SERVICE}ModelInfer")
        with pytest.raises(grpc.RpcError) as raised:
            nothing(iter([]), timeout=20)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_that_does_not_come(gateway: RunningGateway) -> None:
    def never() -> Iterator[bytes]:
        while not ended:
            yield from ()
            eventually(lambda: ended, 1)

    ended = False
    with channel(gateway) as opened:
        with pytest.raises(grpc.RpcError) as raised:
            opened.stream_unary(f"{SERVICE}ModelInfer")(never(), timeout=20)
        ended = True
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "did not arrive in time" in raised.value.details()


def test_a_message_beyond_the_limit(gateway: RunningGateway) -> None:
    code, _ = refusal(gateway, "ModelInfer", infer_message(bytes(4_100_000)))
    assert code == "INVALID_ARGUMENT"
    code, _ = refusal(gateway, "ModelInfer", infer_message(bytes(8_000_000)))
    assert code == "RESOURCE_EXHAUSTED"  # gRPC's own word


def test_a_compressed_message_is_not_unfolded(gateway: RunningGateway) -> None:
    rss = psutil.Process(gateway.process.pid).memory_info().rss
    code, _ = refusal(gateway, "ModelInfer", infer_message(bytes(4_000_000)), compression=grpc.Compression.Gzip)
    assert code in ("UNIMPLEMENTED", "INTERNAL", "INVALID_ARGUMENT")
    bomb = gzip.compress(bytes(500_000_000), 1)
    frame = b"\1" + len(bomb).to_bytes(4, "big") + bomb
    assert raw_grpc(gateway, frame)
    assert psutil.Process(gateway.process.pid).memory_info().rss - rss < 100_000_000


def raw_grpc(gateway: RunningGateway, frame: bytes) -> bytes:
    """What comes back for bytes of a message as they are, over HTTP/2 spoken by hand."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(4, 0, 0, b"")
    fields = [(":method", "POST"), (":scheme", "http"), (":path", f"{SERVICE}ModelInfer"), (":authority", "localhost")]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", "gzip")]
    block = b"".join(b"\0" + literal(name) + literal(value) for name, value in fields)
    pieces = [frame[start : start + 16_000] for start in range(0, min(len(frame), 64_000), 16_000)]
    data = b"".join(http2_frame(0, 0, 1, piece) for piece in pieces)
    with socket.create_connection(
        ("127.0.0.1", int(gateway.grpc_authority.rpartition(":")[2])), timeout=10
    ) as connection:
        connection.sendall(preface + http2_frame(1, 4, 1, block) + data)
        return connection.recv(65536)


def http2_frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def test_metadata_beyond_the_limit(gateway: RunningGateway) -> None:
    code, _ = refusal(gateway, "ModelInfer", infer_message(), metadata={"x-long": "x" * 100_000})
    assert code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


@pytest.mark.parametrize(
    "spoken",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(4, 0, 0, b"") + b"\xff" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(1, 4, 1, b"\xff" * 100),
        bytes(10_000),
        b"\x16\x03\x01" + bytes(500),
    ],
)
def test_another_protocol_at_the_port_for_grpc(spoken: bytes, gateway: RunningGateway) -> None:
    port = int(gateway.grpc_authority.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(spoken)
        answered: Callable[[], bytes] = lambda: connection.recv(4096)  # noqa: E731
        try:
            while answered():
                pass
        except ConnectionError:
            pass


def test_too_many_streams_at_once(gateway: RunningGateway) -> None:
    with channel(gateway) as opened:
        stream = opened.stream_stream(f"{SERVICE}ModelStreamInfer")
        ended = False

        def never() -> Iterator[bytes]:
            while not ended:
                yield from ()
                eventually(lambda: ended, 1)

        kept = [stream(never()) for _ in range(16)]
        eventually(lambda: gateway.metric("vfnet_gateway_requests_in_flight") >= 16, 20)
        with pytest.raises(grpc.RpcError) as raised:
            next(stream(iter([infer_message().SerializeToString()]), timeout=20))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        ended = True
        for each in kept:
            each.cancel()
    assert eventually(lambda: gateway.metric("vfnet_gateway_requests_in_flight") <= 1, 20)


def test_calls_that_are_left_at_once(gateway: RunningGateway) -> None:
    with channel(gateway) as opened:
        infer = opened.unary_unary(f"{SERVICE}ModelMetadata")
        for _ in range(200):
            infer.future(service_pb2.ModelMetadataRequest(name="vfnet").SerializeToString()).cancel()
    assert call(gateway, "ServerLive", b"") == b"\x08\x01"
