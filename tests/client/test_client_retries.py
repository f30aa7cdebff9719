"""The client at a Triton that is busy, away or comes late: a real gRPC server that fails in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from vfnet_client import (
    DeadlineExceededError,
    InvalidImageError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClient,
)
from vfnet_client.free_ports import free_ports

ANSWER = b'{"boxes": []}'
BUSY = ("UNAVAILABLE", "Exceeds maximum queue size")
GONE = ("UNAVAILABLE", "Socket closed")
BAD = ("INVALID_ARGUMENT", "not an image")


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Fails with these in turn, the last one for ever where `endless`; answers then."""

    def __init__(self, *troubles: tuple[str, str], endless: bool = False) -> None:
        self.troubles, self.endless, self.calls = list(troubles), endless, 0
        self._lock = threading.Lock()

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002
        with self._lock:
            self.calls += 1
            trouble = None
            if self.troubles:
                trouble = self.troubles[0] if self.endless and len(self.troubles) == 1 else self.troubles.pop(0)
        if trouble is not None:
            context.abort(getattr(grpc.StatusCode, trouble[0]), trouble[1])
        answer = service_pb2.ModelInferResponse()
        answer.outputs.add(name="DETECTIONS", datatype="BYTES", shape=[1])
        answer.raw_output_contents.append(len(ANSWER).to_bytes(4, "little") + ANSWER)
        return answer


Start = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Start]:
    servers = []

    def start(servicer: Servicer, port: int = 0) -> str:
        server = grpc.server(ThreadPoolExecutor(8))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        servers.append(server)
        return f"grpc://127.0.0.1:{bound}"

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.mark.parametrize("trouble", [BUSY, GONE])
def test_an_image_is_sent_again_until_a_server_in_trouble_answers(trouble: tuple[str, str], serve: Start) -> None:
    servicer = Servicer(trouble, trouble)
    with VFNetClient(serve(servicer)) as client:
        assert client.detect(b"image").boxes == []
    assert servicer.calls == 3


def test_a_bad_image_is_sent_once(serve: Start) -> None:
    servicer = Servicer(BAD)
    with VFNetClient(serve(servicer)) as client, pytest.raises(InvalidImageError):
        client.detect(b"image")
    assert servicer.calls == 1


@pytest.mark.parametrize(("trouble", "error"), [(BUSY, ServerBusyError), (GONE, ServerUnavailableError)])
def test_without_retries_the_first_refusal_is_raised(
    trouble: tuple[str, str], error: type[Exception], serve: Start
) -> None:
    servicer = Servicer(trouble)
    with VFNetClient(serve(servicer), retries=0) as client, pytest.raises(error):
        client.detect(b"image")
    assert servicer.calls == 1


@pytest.mark.parametrize(("trouble", "error"), [(BUSY, ServerBusyError), (GONE, ServerUnavailableError)])
def test_all_tries_together_keep_to_the_timeout(trouble: tuple[str, str], error: type[Exception], serve: Start) -> None:
    with VFNetClient(serve(Servicer(trouble, endless=True)), timeout=0.5, retries=1000) as client:
        started = monotonic()
        with pytest.raises((error, DeadlineExceededError)):
            client.detect(b"image")
        assert monotonic() - started < 30


def test_a_server_that_comes_up_meanwhile_is_found() -> None:
    (port,) = free_ports(1)
    late = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), late)
    starting = threading.Timer(0.3, lambda: (late.add_insecure_port(f"127.0.0.1:{port}"), late.start()))
    starting.start()
    try:
        with VFNetClient(f"grpc://127.0.0.1:{port}", retries=20) as client:
            assert client.detect(b"image").boxes == []
    finally:
        starting.join()
        late.stop(None).wait()


def test_images_after_one_that_waited_in_vain_wait_less() -> None:
    started = monotonic()
    with VFNetClient("grpc://127.0.0.1:1", concurrency=1, timeout=2) as client:
        outcomes = list(client.detect_many([b"image"] * 5))
    assert [type(outcome.error) for outcome in outcomes] == [ServerUnavailableError] * 5
    assert 1 < monotonic() - started < 8


def test_one_bad_image_and_lost_connections_cost_the_others_nothing(serve: Start) -> None:
    servicer = Servicer(GONE, BAD, GONE, BUSY)
    with VFNetClient(serve(servicer), concurrency=2) as client:
        outcomes = list(client.detect_many([b"image"] * 8))
    assert [outcome.position for outcome in outcomes] == list(range(8))
    assert sorted(type(outcome.error).__name__ for outcome in outcomes) == ["InvalidImageError"] + ["NoneType"] * 7
