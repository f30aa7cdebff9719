"""Liveness, readiness and start-up of `vfnet serve` say three things, by what the watchdog knows."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from triton_server import NO_OP, ServedRepository, serving
from vfnet_client import VFNetClient
from vfnet_client.free_ports import free_ports
from vfnet_client.retry_policy import proof_picture
from vfnet_serve import health as health_module
from vfnet_serve.health import ServerHealth, answering
from vfnet_serve.installation import ServerError
from waiting import eventually

PATHS = ("/livez", "/readyz", "/startupz")
LAME_DUCK_S = 2.0


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def statuses(port: int) -> tuple[int, ...]:
    return tuple(ask(port, path)[0] for path in PATHS)


@pytest.fixture
def health() -> ServerHealth:
    return ServerHealth()


@pytest.fixture
def port(health: ServerHealth) -> Iterator[int]:
    (port,) = free_ports(1)
    with answering(health, "127.0.0.1", port):
        yield port


def test_what_starts_is_alive_and_nothing_else(health: ServerHealth, port: int) -> None:
    assert statuses(port) == (200, 503, 503)
    assert ask(port, "/readyz") == (503, "Triton is starting")
    health.has_started, health.fault = True, None
    assert statuses(port) == (200, 200, 200)


def test_what_is_lost_is_not_ready_and_stays_alive_and_started(health: ServerHealth, port: int) -> None:
    health.has_started, health.fault = True, "a process of vfnet_detector is being replaced"
    assert statuses(port) == (200, 503, 200)
    assert ask(port, "/readyz")[1] == health.fault


def test_what_leaves_is_not_ready_and_stays_alive_and_started(health: ServerHealth, port: int) -> None:
    health.has_started, health.fault, health.leaves_at = True, None, time.monotonic() + 60
    assert statuses(port) == (200, 503, 200)
    assert ask(port, "/readyz") == (503, "it is stopping")


def test_what_does_not_look_any_more_is_not_alive(
    health: ServerHealth, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "_STUCK_S", 0.1)
    health.has_started, health.fault, health.looked_at = True, None, time.monotonic()
    time.sleep(0.2)
    assert statuses(port) == (503, 503, 200)


def test_other_requests_are_refused_and_slow_ones_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "_HEAD_S", 0.2)
    assert ask(port, "/metrics")[0] == 404
    assert ask(port, "/livez", "POST")[0] == 405
    assert ask(port, "/livez", "HEAD") == (200, "")
    assert ask(port, "/livez?verbose")[0] == 200
    with socket.create_connection(("127.0.0.1", port), timeout=5) as slow:
        slow.sendall(b"GET /livez")
        assert slow.recv(100) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as large:
        large.sendall(b"GET /" + bytes(100_000))
        with contextlib.suppress(ConnectionError):
            assert large.recv(100) == b""


def test_a_port_that_is_taken_is_said(port: int) -> None:
    taken = answering(ServerHealth(), "127.0.0.1", port)
    with pytest.raises(ServerError, match=f"port {port} .* choose another with --health-port"), taken:
        pass


@pytest.fixture(scope="module")
def watched_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def watched(watched_port: int, demo_repository: Path, tmp_path: Path) -> Iterator[ServedRepository]:
    options = (f"--health-port={watched_port}", f"--lame-duck={LAME_DUCK_S}")
    with serving(demo_repository, tmp_path, NO_OP, *options) as served:
        yield served


@pytest.mark.served
def test_a_server_says_when_it_has_lost_a_process_and_when_it_leaves(
    watched: ServedRepository, watched_port: int
) -> None:
    assert eventually(lambda: statuses(watched_port) == (200, 200, 200), 10)
    (detector,) = watched.model_processes("vfnet_detector")
    detector.kill()
    assert eventually(lambda: statuses(watched_port) == (200, 503, 200), 10)
    assert eventually(lambda: statuses(watched_port) == (200, 200, 200), 30)

    failures, answered, stop = list[Exception](), [0], threading.Event()

    def go_on() -> None:
        with VFNetClient(watched.grpc_url, retries=0) as client:
            while not stop.is_set():
                try:
                    client.detect(proof_picture())
                    answered[0] += 1
                except Exception as error:
                    failures.append(error)

    caller = threading.Thread(target=go_on)
    caller.start()
    psutil.Process(watched.process.pid).send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    assert eventually(lambda: statuses(watched_port) == (200, 503, 200), 2)
    assert ask(watched_port, "/readyz") == (503, "it is stopping")
    before = answered[0]
    time.sleep(max(0.0, told_at + LAME_DUCK_S - 0.3 - time.monotonic()))
    stop.set()
    caller.join()
    assert failures == []
    assert answered[0] > before  # it served on
    assert watched.process.wait(60) == 0
    assert time.monotonic() - told_at >= LAME_DUCK_S
