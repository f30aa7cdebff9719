"""What the gateway does when there is much to do, when callers leave, and when Triton is slow or gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
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
from score_requests import GOOD, JSON, score, strip_png, table
from triton_server import ServedRepository, serving
from vfnet_client.exceptions import ServerBusyError
from vfnet_client.free_ports import free_ports
from vfnet_client.transport import Transport, open_transport
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def narrow(slow_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Two places in the ensemble, two requests may wait; the detector takes its time."""
    options = ("--max-in-flight=2", "--request-window=2", "--max-waiting=2", "--queue-timeout=30")
    with running_gateway(slow_server.grpc_url, tmp_path_factory.mktemp("narrow"), *options) as running:
        yield running


def ask(gateway: RunningGateway, images: int) -> httpx.Response:
    with gateway.client() as client:
        return score(client, [GOOD] * images)


def detected(gateway: RunningGateway) -> int:
    """Images that the detector has answered for so far."""
    with gateway.client() as client:
        count: int = client.get("/ui/stages").json()["vfnet_detector"]["count"]
    return count


def waits(gateway: RunningGateway, requests: int) -> bool:
    return eventually(lambda: gateway.metric("vfnet_gateway_requests_waiting") == requests)


def test_who_finds_the_queue_full_of_others_is_told_to_come_back(narrow: RunningGateway, slow_gate: Gate) -> None:
    with ThreadPoolExecutor() as pool, slow_gate.shut():
        large = pool.submit(ask, narrow, 24)
        assert eventually(lambda: narrow.metric("vfnet_gateway_images_in_flight") == 2)
        waiting = [pool.submit(ask, narrow, 1) for _ in range(2)]
        assert waits(narrow, 2)
        refused = ask(narrow, 1)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert list(refused.json()) == ["message"]
        slow_gate.open()
        assert [reply.result().status_code for reply in waiting] == [200, 200]
        assert large.result().status_code == 200  # and was not refused for what others wanted
    assert narrow.metric("vfnet_gateway_images_in_flight") == 0


def test_one_image_does_not_wait_behind_all_of_a_large_request(narrow: RunningGateway) -> None:
    with ThreadPoolExecutor() as pool:
        large = pool.submit(ask, narrow, 24)
        assert eventually(lambda: narrow.metric("vfnet_gateway_images_in_flight") == 2)
        assert ask(narrow, 1).status_code == 200
        assert not large.done()
        assert large.result().status_code == 200


def test_of_a_client_that_leaves_only_what_was_sent_is_finished(narrow: RunningGateway, slow_gate: Gate) -> None:
    body = json.dumps({"input_data": table([GOOD] * 40)}).encode()
    before = detected(narrow)
    with slow_gate.shut():
        with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
            connection.sendall(POST + f"content-length: {len(body)}\r\nx-request-id: leaver\r\n\r\n".encode() + body)
            assert eventually(lambda: narrow.metric("vfnet_gateway_images_in_flight") == 2)
        assert eventually(lambda: any(line.get("request_id") == "leaver" for line in narrow.log_lines()))
        assert narrow.metric("vfnet_gateway_images_in_flight") == 2  # Triton goes on with them
    assert eventually(lambda: narrow.metric("vfnet_gateway_images_in_flight") == 0)
    (line,) = [line for line in narrow.log_lines() if line.get("request_id") == "leaver"]
    assert (line["status"], line["reason"]) == (499, "the client left")
    time.sleep(1)  # ten images more, were they still coming
    assert detected(narrow) - before == 2


def test_the_deadline_is_a_504_and_reaches_triton(slow_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(slow_server.grpc_url, tmp_path, "--timeout=1", "--max-in-flight=4") as gateway:
        reply = ask(gateway, 40)
        assert reply.status_code == 504
        assert list(reply.json()) == ["message"]
        assert reply.headers["x-ms-run-function-failed"] == "True"
        time.sleep(1.5)  # what was in the ensemble has ended
        before = detected(gateway)
        time.sleep(1)
        assert detected(gateway) == before


def test_without_triton_it_is_503_and_recovers_when_triton_returns(demo_repository: Path, tmp_path: Path) -> None:
    (grpc_port,) = free_ports(1)
    triton = f"grpc://127.0.0.1:{grpc_port}"
    with running_gateway(triton, tmp_path, "--timeout=2") as gateway, gateway.client() as client:
        reply = score(client, [GOOD])
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert str(grpc_port) not in reply.text
        assert client.get("/health").status_code == client.get("/ui/stages").status_code == 503
        assert client.get("/").status_code == 200
        options = ("--model-config-name=noop", f"--grpc-port={grpc_port}")
        with serving(demo_repository, tmp_path, *options):
            assert eventually(lambda: client.get("/health").status_code == 200)
            assert score(client, [GOOD]).status_code == 200
        assert score(client, [GOOD]).status_code == 503


def test_a_signal_lets_requests_in_flight_finish(
    slow_server: ServedRepository, slow_gate: Gate, tmp_path: Path
) -> None:
    with (
        running_gateway(slow_server.grpc_url, tmp_path) as gateway,
        ThreadPoolExecutor() as pool,
        slow_gate.shut(),
    ):
        reply = pool.submit(ask, gateway, 8)
        assert eventually(lambda: gateway.metric("vfnet_gateway_images_in_flight") == 8)
        gateway.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not (tmp_path / "gateway.json").exists())
        with pytest.raises(httpx.ConnectError):
            ask(gateway, 1)
        slow_gate.open()
        assert reply.result().status_code == 200
        assert gateway.process.wait(30) == 0
        assert "Traceback" not in gateway.log.read_text()


def test_what_does_not_finish_in_time_is_given_up_when_stopping(slow_server: ServedRepository, tmp_path: Path) -> None:
    options = ("--drain-timeout=1", "--request-window=2")
    with running_gateway(slow_server.grpc_url, tmp_path, *options) as gateway, ThreadPoolExecutor() as pool:
        reply = pool.submit(ask, gateway, 40)
        assert eventually(lambda: gateway.metric("vfnet_gateway_images_in_flight") == 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0
        assert reply.result().status_code == 503


def raw_status(port: int, *parts: bytes) -> bytes:
    """The first line that comes back for these bytes, or nothing when the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while b"\r\n" not in answer and (chunk := connection.recv(4096)):
            answer += chunk
    return answer.partition(b"\r\n")[0]


POST = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def test_a_body_that_stops_arriving_is_408(gateway: RunningGateway) -> None:
    assert raw_status(gateway.port, POST, b"content-length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")


def test_a_head_that_stops_arriving_is_hung_up_on(gateway: RunningGateway) -> None:
    assert raw_status(gateway.port, b"GET / HTTP/1.1\r\nhost") == b""
    assert raw_status(gateway.port) == b""


def test_a_client_that_asks_first_is_told_of_the_limit_before_it_sends(gateway: RunningGateway) -> None:
    head = POST + b"content-length: 5000000\r\nexpect: 100-continue\r\n\r\n"
    assert raw_status(gateway.port, head).startswith(b"HTTP/1.1 413")


def test_bodies_wait_for_room_and_all_are_answered(quick_server: ServedRepository, tmp_path: Path) -> None:
    """Forty bodies of 10 MB at once, and room for four."""
    options = ("--max-body-bytes=11000000", "--max-held-bytes=44000000", "--queue-timeout=100")
    padding = "x" * (10_000_000 - len(GOOD))
    body = json.dumps({"input_data": table([GOOD]), "padding": padding}).encode()

    async def flood(gateway: RunningGateway) -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=gateway.address, timeout=100, limits=limits, trust_env=False) as client:
            replies = await asyncio.gather(*(client.post("/score", content=body, headers=JSON) for _ in range(40)))
        return [reply.status_code for reply in replies]

    with running_gateway(quick_server.grpc_url, tmp_path, *options) as gateway:
        process = psutil.Process(gateway.process.pid)
        idle = process.memory_info().rss
        assert asyncio.run(flood(gateway)) == [200] * 40
        peak = int(Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
        assert peak - idle < 200_000_000
        assert gateway.metric("vfnet_gateway_held_bytes") == 0


def test_a_body_without_room_in_time_is_429(slow_server: ServedRepository, slow_gate: Gate, tmp_path: Path) -> None:
    options = ("--max-body-bytes=1000000", "--max-held-bytes=1000000", "--queue-timeout=0.3")
    with (
        running_gateway(slow_server.grpc_url, tmp_path, *options) as gateway,
        ThreadPoolExecutor() as pool,
        slow_gate.shut(),
    ):
        body = {"input_data": table([GOOD] * 8), "padding": "x" * 900_000}
        with gateway.client() as client:
            first = pool.submit(client.post, "/score", json=body)
            assert eventually(lambda: gateway.metric("vfnet_gateway_held_bytes") > 900_000)
            with gateway.client() as other:
                refused = other.post("/score", json=body)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            slow_gate.open()
            assert first.result().status_code == 200


def test_a_triton_that_is_busy_itself_is_a_429(slow_repository: Path, tmp_path: Path) -> None:
    """Others fill its queue past the gateway."""
    stop = threading.Event()

    async def push(transport: Transport) -> None:
        while not stop.is_set():
            try:
                await transport.infer(strip_png(), timeout=20)
            except ServerBusyError:
                await asyncio.sleep(0.005)  # not all of a processor for being refused

    async def crowd(server: ServedRepository) -> None:
        transport = open_transport(server.grpc_url)
        await asyncio.gather(*(push(transport) for _ in range(16)))
        await transport.close()

    limits = ("--max-in-flight=1", "--max-waiting=1")
    folder = tmp_path / "served"
    folder.mkdir()
    with (
        serving(slow_repository, folder, "--model-config-name=noop", *limits) as served,
        running_gateway(served.grpc_url, tmp_path) as gateway,
        ThreadPoolExecutor() as pool,
    ):
        crowding = pool.submit(lambda: asyncio.run(crowd(served)))
        try:
            assert eventually(lambda: ask(gateway, 1).status_code == 429, 40)
        finally:
            stop.set()
            crowding.result()
        # Alone, it is never too much, in one request or in many.
        assert ask(gateway, 12).status_code == 200
        together = [pool.submit(ask, gateway, 1) for _ in range(14)]
        assert [reply.result().status_code for reply in together] == [200] * 14
