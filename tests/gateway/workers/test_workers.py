"""A gateway in several processes is one: its port, its limits, its metrics, its start and its end."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from gateway_process import RunningGateway, running_gateway
from held_detector import Gate
from kserve_requests import call, channel, infer_message
from score_requests import GOOD, score
from triton_server import ServedRepository
from vfnet_client.free_ports import free_ports
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(120)]
WORKERS = 2


def workers_of(gateway: RunningGateway) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(gateway.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "vfnet_gateway.workers" in child.cmdline():
                found.append(child)
    return found


@pytest.fixture(scope="module")
def gateway(quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    options = (f"--workers={WORKERS}", "--lame-duck=1")
    with running_gateway(quick_server.grpc_url, tmp_path_factory.mktemp("workers"), *options) as running:
        yield running


def test_all_workers_answer_and_are_counted_together(gateway: RunningGateway) -> None:
    assert len(workers_of(gateway)) == WORKERS
    sample = 'vfnet_gateway_images_total{outcome="detected"}'
    before = gateway.metric(sample)
    for _ in range(8):  # each with a connection of its own
        with gateway.client() as client:
            assert score(client, [GOOD, GOOD]).status_code == 200
        with channel(gateway) as opened:
            message = infer_message().SerializeToString()
            assert opened.unary_unary("/inference.GRPCInferenceService/ModelInfer")(message, timeout=30)
    assert gateway.metric(sample) == before + 24
    assert eventually(lambda: gateway.metric("vfnet_gateway_images_in_flight") == 0)
    assert min(process.cpu_times().user for process in workers_of(gateway)) > 0


def test_places_are_counted_over_all_workers(slow_server: ServedRepository, slow_gate: Gate, tmp_path: Path) -> None:
    options = (f"--workers={WORKERS}", "--max-in-flight=1", "--max-waiting=1", "--queue-timeout=30")

    def ask(gateway: RunningGateway) -> int:
        with gateway.client() as client:
            return score(client, [GOOD]).status_code

    with (
        running_gateway(slow_server.grpc_url, tmp_path, *options) as gateway,
        ThreadPoolExecutor(2) as pool,
        slow_gate.shut(),
    ):
        answers = [pool.submit(ask, gateway)]
        assert eventually(lambda: gateway.metric("vfnet_gateway_images_in_flight") == 1)
        answers.append(pool.submit(ask, gateway))
        assert eventually(lambda: gateway.metric("vfnet_gateway_requests_waiting") == 1)
        assert [ask(gateway) for _ in range(8)] == [429] * 8
        slow_gate.open()
        assert [answer.result() for answer in answers] == [200, 200]


def test_a_worker_that_is_killed_is_replaced_and_what_it_counted_stays(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        assert score(client, [GOOD]).status_code == 200
    before = gateway.metric('vfnet_gateway_images_total{outcome="detected"}')
    old = workers_of(gateway)
    old[0].kill()
    assert eventually(lambda: len(new := workers_of(gateway)) == WORKERS and old[0] not in new, 20)
    assert "was killed by SIGKILL: starting another" in gateway.log.read_text()
    for _ in range(4):
        with gateway.client() as client:
            assert score(client, [GOOD]).status_code == 200
    assert gateway.metric('vfnet_gateway_images_total{outcome="detected"}') == before + 4


def test_told_to_stop_all_workers_finish_what_comes(quick_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path, "--workers=2", "--lame-duck=1.5") as gateway:
        processes, wrong, answered, stop = workers_of(gateway), list[object](), [0], threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                with gateway.client() as client:
                    reply = score(client, [GOOD])
                if reply.status_code != 200:
                    wrong.append(reply.text)
                answered[0] += 1

        callers = [threading.Thread(target=go_on) for _ in range(3)]
        for caller in callers:
            caller.start()
        time.sleep(0.5)
        told_at = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        with gateway.client() as client:
            assert eventually(lambda: client.get("/readyz").status_code == 503, 1)
        assert call(gateway, "/grpc.health.v1.Health/Check", b"") == b"\x08\x02"
        time.sleep(max(0.0, told_at + 1.0 - time.monotonic()))
        stop.set()
        for caller in callers:
            caller.join()
        assert gateway.process.wait(20) == 0
        assert time.monotonic() - told_at >= 1.5
        assert wrong == []
        assert answered[0] > 10
        assert not [process for process in processes if process.is_running()]


def test_workers_end_with_who_started_them(quick_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path, "--workers=2") as gateway:
        processes = workers_of(gateway)
        gateway.process.kill()
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive


def test_workers_that_cannot_start_are_one_sentence(tmp_path: Path) -> None:
    port, grpc_port = free_ports(2)
    command = [sys.executable, "-m", "vfnet_client", "gateway", f"--port={port}", f"--grpc-port={grpc_port}"]
    done = subprocess.run(
        [*command, "--workers=8"], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert re.search(r"with --workers 8 each may hold \d+ bytes .*: raise --max-held-bytes", done.stderr)
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://127.0.0.1:{port}/")
