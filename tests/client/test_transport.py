"""What a caller sees when a server refuses, fails, hangs or is not there, over gRPC and HTTP alike."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from vfnet_client.exceptions import (
    DeadlineExceededError,
    InvalidImageError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
)
from vfnet_client.transport import open_transport, parse_server_url

HANG = "hang"
Refuse = Callable[[str, str], str]
"""Given a status in the protocol's words and a message, the URL of a server that answers so."""


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that leave before their answer: that is what some tests are about."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def grpc_server() -> Iterator[Refuse]:
    servers = []

    def start(status: str, message: str) -> str:
        class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
            def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002
                if status == HANG:
                    time.sleep(1)
                    return service_pb2.ModelInferResponse()
                return context.abort(getattr(grpc.StatusCode, status), message)

        server = grpc.server(ThreadPoolExecutor(4))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"grpc://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def http_server() -> Iterator[Refuse]:
    servers = []

    def start(status: str, message: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if status == HANG:
                    time.sleep(1)
                body = json.dumps({"error": message}).encode()
                self.send_response(500 if status == HANG else int(status))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = QuietServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def refusing(protocol: str, request: pytest.FixtureRequest) -> Refuse:
    start: Refuse = request.getfixturevalue(f"{protocol}_server")
    return start


def infer(url: str, timeout: float | None = 20) -> dict[str, Any]:
    async def once() -> dict[str, Any]:
        transport = open_transport(url)
        try:
            return await transport.infer(b"image", timeout=timeout)
        finally:
            await transport.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("words", "message", "error", "reason"),
    [
        (("INVALID_ARGUMENT", "400"), "no image", InvalidImageError, "^no image$"),
        (("INVALID_ARGUMENT", "400"), "in ensemble 'vfnet', not\nan image", InvalidImageError, "^not an image$"),
        (("UNAVAILABLE", "503"), "Exceeds maximum queue size", ServerBusyError, "Exceeds maximum queue size"),
        (("RESOURCE_EXHAUSTED", "429"), "slow down", ServerBusyError, "slow down"),
        (("UNAVAILABLE", "503"), "Server is stopping", ServerUnavailableError, "Server is stopping"),
        (("NOT_FOUND", "404"), "unknown model: 'vfnet'", ServerUnavailableError, "unknown model: 'vfnet'"),
        (("INTERNAL", "500"), "Stub process is not healthy", ModelProcessDiedError, "Stub process is not healthy"),
        (("DEADLINE_EXCEEDED", "504"), "late", DeadlineExceededError, "within 20 s"),
    ],
)
def test_a_servers_refusal_becomes_the_error_that_says_whose_fault_it_is(
    words: tuple[str, str], message: str, error: type[Exception], reason: str, protocol: str, refusing: Refuse
) -> None:
    with pytest.raises(error, match=reason):
        infer(refusing(words[protocol == "http"], message))


def test_a_server_that_hangs_runs_into_the_deadline(refusing: Refuse) -> None:
    with pytest.raises(DeadlineExceededError, match=r"within 0\.2 s"):
        infer(refusing(HANG, ""), timeout=0.2)


def test_a_closed_port_is_an_unavailable_server(protocol: str) -> None:
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:1"):
        infer(f"{protocol}://127.0.0.1:1")


def test_a_closed_port_is_not_ready(protocol: str) -> None:
    async def ready() -> bool:
        transport = open_transport(f"{protocol}://127.0.0.1:1")
        try:
            return await transport.is_ready(timeout=20)
        finally:
            await transport.close()

    assert asyncio.run(ready()) is False


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("grpc://host:9", "grpc://host:9"),
        ("grpc://host", "grpc://host:8001"),
        ("HTTP://host/", "http://host:8000"),
        ("grpcs://host", "grpcs://host:443"),
        ("https://host/triton/", "https://host:443/triton"),
        ("grpc://[::1]:8001", "grpc://[::1]:8001"),
    ],
)
def test_a_server_url_may_leave_out_the_usual(url: str, normal: str) -> None:
    assert parse_server_url(url).geturl() == normal


@pytest.mark.parametrize(
    "url", ["", "host", "host:8001", "ftp://host", "grpc://", "grpc://host:x", "http://host:99999"]
)
def test_another_server_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"server URL|[Pp]ort"):
        parse_server_url(url)
