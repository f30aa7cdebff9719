"""A server lets in what it can answer soon, by the speed that it measures when it starts."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from score_requests import strip_png
from triton_server import NO_OP, ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_time
from vfnet_client.async_client import AsyncVFNetClient
from vfnet_client.client import VFNetClient
from vfnet_client.exceptions import ServerBusyError
from vfnet_client.transport import open_transport
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.measured_speed import measure_speed

pytestmark = pytest.mark.served

SECONDS = 0.1
"""What the detector takes for an image."""
FEWEST, HELD, WAITING = 3, 2, 2
"""In flight, before that in the hands of two preprocesses, and in Triton's queue."""


@pytest.fixture(scope="module")
def slow(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """Ten images a second."""
    folder = tmp_path_factory.mktemp("slow_server")
    repository = with_fixed_time(demo_repository, folder / "repository", 1000 * SECONDS)
    with serving(repository, folder, NO_OP, room=()) as served:
        yield served


def test_it_says_how_fast_it_is_and_what_follows(slow: ServedRepository) -> None:
    log = slow.log.read_text()
    (line,) = re.findall(r"([\d.]+) images/s measured: --max-in-flight (\d+) --max-waiting (\d+)", log)
    assert 0.5 / SECONDS < float(line[0]) <= 1 / SECONDS
    assert line[1:] == (str(FEWEST), str(WAITING))


def test_triton_serves_so(slow: ServedRepository) -> None:
    with urllib.request.urlopen(f"{slow.http_url}/v2/models/vfnet_preprocess/config", timeout=30) as answer:
        config = json.load(answer)
    assert config["parameters"]["max_in_flight"]["string_value"] == str(FEWEST)
    assert config["dynamic_batching"]["default_queue_policy"]["max_queue_size"] == WAITING


def test_no_more_are_let_in(slow: ServedRepository) -> None:
    places = FEWEST + HELD + WAITING
    refused_after = []

    async def crowd() -> int:
        transport = open_transport(slow.grpc_url)
        await transport.infer(strip_png())  # what a connection costs comes first
        started = time.monotonic()

        async def ask() -> bool:
            try:
                await transport.infer(strip_png())
                return True
            except ServerBusyError:
                refused_after.append(time.monotonic() - started)
                return False

        detected = sum(await asyncio.gather(*(ask() for _ in range(3 * places))))
        await transport.close()
        return detected

    detected = asyncio.run(crowd())
    assert refused_after
    # At least the queue's places, if all arrive before any is taken from it; some are done while others arrive.
    assert WAITING <= detected <= places + max(refused_after) / SECONDS + 1


def test_callers_of_one_client_get_their_turns(slow: ServedRepository) -> None:
    """More than the server lets in, each asking again as soon as it is answered."""
    answered = Counter[int]()

    async def ask_together() -> None:
        async with AsyncVFNetClient(slow.grpc_url) as client:
            end = time.monotonic() + 60 * SECONDS

            async def ask(caller: int) -> None:
                while time.monotonic() < end:
                    await client.detect(strip_png())
                    answered[caller] += 1

            await asyncio.gather(*(ask(caller) for caller in range(20)))

    asyncio.run(ask_together())
    assert set(answered) == set(range(20))
    assert max(answered.values()) <= min(answered.values()) + 3, answered


def test_the_speed_of_a_server_that_has_work_already_is_the_whole_of_it(slow: ServedRepository) -> None:
    stop = threading.Event()

    def push() -> None:
        with VFNetClient(slow.grpc_url) as client:
            while not stop.is_set():
                client.detect(strip_png())

    with ThreadPoolExecutor(FEWEST) as pool:
        pushing = [pool.submit(push) for _ in range(FEWEST)]
        try:
            endpoints = Endpoints("127.0.0.1", slow.http_port, slow.grpc_port, slow.metrics_port)
            speed = measure_speed(endpoints, 1, threading.Event())
        finally:
            stop.set()
        for each in pushing:
            each.result()
    assert 0.5 / SECONDS < speed <= 1.2 / SECONDS


def test_the_watchdog_knows_the_new_processes(slow: ServedRepository) -> None:
    assert "died" not in slow.log.read_text()
    slow.model_processes("vfnet_preprocess")[0].kill()
    deadline = time.monotonic() + 30
    while "vfnet_preprocess serves again" not in slow.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert slow.log.read_text().count("a process of vfnet_preprocess died") == 1
    test_triton_serves_so(slow)
