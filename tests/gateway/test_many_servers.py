"""Callers of a gateway in front of several servers do not see one of them killed, stopped or started again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway_process import RunningGateway, running_gateway
from kserve_requests import call, infer_message
from score_requests import GOOD, score
from triton_server import NO_OP, ROOM, ServedRepository, serving
from vfnet_client import VFNetClient
from vfnet_client.retry_policy import proof_picture
from vfnet_process import running_vfnet
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def other(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """The second server, which is not treated well."""
    with serving(demo_repository, tmp_path_factory.mktemp("other"), NO_OP) as served:
        yield served


@pytest.fixture(scope="module")
def gateway(
    quick_server: ServedRepository, other: ServedRepository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("many")
    with running_gateway(quick_server.grpc_url, folder, f"--server={other.grpc_url}") as running:
        yield running


def is_in(gateway: RunningGateway, server: ServedRepository) -> bool:
    return gateway.metric(f'vfnet_gateway_server_in{{server="{server.grpc_url}"}}') == 1


@contextmanager
def callers(gateway: RunningGateway) -> Iterator[list[Any]]:
    """Two at /score and two over gRPC; what went wrong."""
    stop, wrong, answered = threading.Event(), list[Any](), list[int]()

    def at_score() -> None:
        with gateway.client() as client:
            while not stop.is_set():
                reply = score(client, [GOOD, GOOD])
                answered.append(2)
                if reply.status_code != 200:
                    wrong.append((reply.status_code, reply.text))

    def over_grpc() -> None:
        while not stop.is_set():
            try:
                call(gateway, "ModelInfer", infer_message(), timeout=60)
                answered.append(1)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for work in (at_score, at_score, over_grpc, over_grpc)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(answered) > 20


def test_both_servers_get_images_and_their_counts_are_one(
    gateway: RunningGateway, quick_server: ServedRepository, other: ServedRepository
) -> None:
    with gateway.client() as client:
        before = client.get("/ui/stages").json()["vfnet_detector"]["count"]
        assert score(client, [GOOD] * 12).status_code == 200
        assert client.get("/ui/stages").json()["vfnet_detector"]["count"] == before + 12
        assert client.get("/readyz").status_code == 200
    assert is_in(gateway, quick_server)
    assert is_in(gateway, other)


def test_a_server_that_is_killed_costs_no_request(gateway: RunningGateway, other: ServedRepository) -> None:
    assert eventually(lambda: is_in(gateway, other))
    with callers(gateway) as wrong:
        (triton,) = psutil.Process(other.process.pid).children()
        triton.kill()
        assert eventually(lambda: not is_in(gateway, other), 10)
        with gateway.client() as client:
            assert client.get("/readyz").status_code == 200
        assert eventually(lambda: is_in(gateway, other), 60)
    assert wrong == []


def test_a_server_that_is_stopped_costs_no_request(gateway: RunningGateway, other: ServedRepository) -> None:
    assert eventually(lambda: is_in(gateway, other))
    family = [psutil.Process(other.process.pid), *psutil.Process(other.process.pid).children(recursive=True)]
    with callers(gateway) as wrong:
        try:
            for process in family:
                process.suspend()
            assert eventually(lambda: not is_in(gateway, other), 30)
            with gateway.client() as client:
                assert client.get("/readyz").status_code == 200
        finally:
            for process in family:
                process.resume()
        assert eventually(lambda: is_in(gateway, other), 60)
    assert wrong == []
    assert "has answered nothing for" in gateway.log.read_text()


def test_servers_that_are_started_again_in_turn_cost_no_request(
    gateway: RunningGateway, other: ServedRepository, tmp_path: Path
) -> None:
    assert eventually(lambda: is_in(gateway, other))
    with callers(gateway) as wrong:
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(60) == 0
        ports = (f"--http-port={other.http_port}", f"--grpc-port={other.grpc_port}")
        again = ("serve", f"--repository={other.repository}", *ports, f"--metrics-port={other.metrics_port}", NO_OP)
        log, state = tmp_path / "again.log", tmp_path / "again.json"
        with running_vfnet(*again, *ROOM, log=log, state=state, patience=120):
            assert eventually(lambda: is_in(gateway, other), 30)
            with VFNetClient([other.grpc_url]) as client:
                client.detect(proof_picture())
    assert wrong == []
