"""A server asked for more than it can do refuses the rest at once, serves who waits, and is itself again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from held_detector import Gate, gate_of, with_gate
from score_requests import strip_png
from served_inference import document
from triton_server import ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_time
from vfnet_client.exceptions import DeadlineExceededError, ServerBusyError, VFNetClientError
from vfnet_client.transport import Transport, open_transport

pytestmark = pytest.mark.served

SECONDS = 0.05
"""What the detector takes for an image."""
PLACES, WAITING = 4, 6
PREPROCESSES = 2
"""Each has an image in its hands that waits for a place."""
MOST = PLACES + WAITING + PREPROCESSES
IMAGE = strip_png()


@pytest.fixture(scope="module")
def narrow(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """Few places."""
    folder = tmp_path_factory.mktemp("narrow_server")
    repository = with_gate(with_fixed_time(demo_repository, folder / "repository", 1000 * SECONDS))
    before = stamps(repository)
    options = (f"--max-in-flight={PLACES}", f"--max-waiting={WAITING}", "--model-config-name=noop")
    with serving(repository, folder, *options) as served:
        yield served
    assert stamps(repository) == before  # it may be read-only


@pytest.fixture
def gate(narrow: ServedRepository) -> Gate:
    """Holds what is in the detector of `narrow`, whose places it keeps."""
    return gate_of(narrow.repository)


@pytest.fixture(autouse=True)
def _idle(narrow: ServedRepository) -> None:
    """What the test before left has left."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(InferenceServerException):
            document(narrow, IMAGE)
            if narrow.images_inside() == 0:
                return
        time.sleep(SECONDS)


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def url(served: ServedRepository, protocol: str) -> str:
    return served.grpc_url if protocol == "grpc" else served.http_url


@asynccontextmanager
async def connected(where: str) -> AsyncIterator[Transport]:
    transport = open_transport(where)
    try:
        await transport.infer(IMAGE)  # what a connection costs comes first
        yield transport
    finally:
        await transport.close()


async def ask(transport: Transport, priority: int = 0, timeout: float = 60) -> tuple[str, float]:
    """What became of one image, and after how many seconds."""
    started = time.monotonic()
    try:
        await transport.infer(IMAGE, priority=priority, timeout=timeout)
        return "detected", time.monotonic() - started
    except ServerBusyError:
        return "refused", time.monotonic() - started
    except DeadlineExceededError:
        return "late", time.monotonic() - started


def metric(served: ServedRepository, sample: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics", timeout=30).read().decode()
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_excess_is_refused_at_once_and_the_rest_is_served(
    narrow: ServedRepository, gate: Gate, protocol: str
) -> None:
    async def crowd() -> list[str]:
        async with connected(url(narrow, protocol)) as transport:
            with gate.shut():
                tasks = [asyncio.create_task(ask(transport)) for _ in range(4 * MOST)]
                while sum(task.done() for task in tasks) < 3 * MOST or narrow.images_inside() < PLACES:
                    await asyncio.sleep(0.02)
                assert {task.result()[0] for task in tasks if task.done()} == {"refused"}  # and nobody waited for that
                await asyncio.sleep(10 * SECONDS)
                assert narrow.images_inside() == PLACES
            return [what for what, _ in await asyncio.gather(*tasks)]

    failures = 'nv_inference_request_failure{model="vfnet",reason="OTHER",version="1"}'
    before = metric(narrow, failures)
    counts = Counter(asyncio.run(crowd()))
    assert set(counts) == {"detected", "refused"}
    assert WAITING <= counts["detected"] <= MOST
    assert metric(narrow, failures) == before + 2 * counts["refused"]  # as docs/capacity.md has it
    assert narrow.images_inside() == 0


def test_each_protocol_says_it_in_its_own_words(narrow: ServedRepository, gate: Gate) -> None:
    statuses = set()

    def push() -> None:
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{narrow.grpc_port}") as client:
            value = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
            value.set_data_from_numpy(np.array([IMAGE], np.object_))
            try:
                client.infer("vfnet", [value])
            except InferenceServerException as error:
                statuses.add((error.status(), "maximum queue size" in error.message()))

    with ThreadPoolExecutor(3 * MOST) as pool, gate.shut():
        pushing = [pool.submit(push) for _ in range(3 * MOST)]
        while sum(each.done() for each in pushing) < 2 * MOST:
            time.sleep(SECONDS)
        gate.open()
    assert statuses == {("StatusCode.UNAVAILABLE", True)}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_interactive_images_come_before_batch(narrow: ServedRepository, protocol: str) -> None:
    async def both() -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        async with connected(url(narrow, protocol)) as transport:
            batch, over = list[tuple[str, float]](), asyncio.Event()

            async def push() -> None:
                while not over.is_set():
                    batch.append(await ask(transport, priority=2))

            crowd = [asyncio.create_task(push()) for _ in range(MOST)]
            await asyncio.sleep(MOST * SECONDS)
            interactive = [await ask(transport, priority=1) for _ in range(8)]
            over.set()
            await asyncio.gather(*crowd)
            return batch, interactive

    batch, interactive = asyncio.run(both())
    # A queue full of batch refuses no interactive image, nor serves first who came first.
    assert {what for what, _ in interactive} == {"detected"}
    waited = sorted(seconds for what, seconds in batch if what == "detected")
    assert sorted(seconds for _, seconds in interactive)[4] < waited[len(waited) // 2]


def test_who_waits_too_long_is_refused(narrow: ServedRepository, gate: Gate) -> None:
    """By the time-out in microseconds that the caller gives with the request."""
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{narrow.grpc_port}") as client:
        value = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
        value.set_data_from_numpy(np.array([IMAGE], np.object_))

        def send(count: int, timeout: int | None) -> list[Exception | None]:
            answers: list[Exception | None] = []
            for _ in range(count):
                client.async_infer(
                    "vfnet",
                    [value],
                    lambda result, error: answers.append(error),  # noqa: ARG005
                    timeout=timeout,
                )
            return answers

        with gate.shut():
            patient = send(PLACES, None)
            while narrow.images_inside() < PLACES:
                time.sleep(SECONDS)
            hasty = send(WAITING, 1000)
            pending = 'nv_inference_pending_request_count{model="vfnet_preprocess",version="1"}'
            while metric(narrow, pending) + len(hasty) < WAITING - PREPROCESSES:  # others are in a decoder's hands
                time.sleep(SECONDS)
        deadline = time.monotonic() + 60
        while len(patient) + len(hasty) < PLACES + WAITING and time.monotonic() < deadline:
            time.sleep(0.02)
    assert patient == [None] * PLACES
    late = [str(error) for error in hasty if error is not None]
    assert len(late) >= WAITING - PREPROCESSES
    assert all("Request timeout expired" in words and "UNAVAILABLE" in words for words in late)


def test_callers_that_leave_take_no_places_with_them(narrow: ServedRepository) -> None:
    async def leave_and_stay() -> list[tuple[str, float]]:
        async with connected(narrow.grpc_url) as transport:
            late, deadline = 0, time.monotonic() + 90
            while late <= 2 * PLACES:  # more than there are, if they took them along
                assert time.monotonic() < deadline
                left = await asyncio.gather(*(ask(transport, timeout=2 * SECONDS) for _ in range(MOST - 2)))
                late += sum(what == "late" for what, _ in left)
            while (await ask(transport))[0] != "detected" or narrow.images_inside() > 0:  # until who left is forgotten
                assert time.monotonic() < deadline
                await asyncio.sleep(SECONDS)
            return [await ask(transport) for _ in range(3 * PLACES)]

    stayed = asyncio.run(leave_and_stay())
    assert {what for what, _ in stayed} == {"detected"}
    assert max(seconds for _, seconds in stayed) < 20
    assert narrow.images_inside() == 0


def test_an_image_that_cannot_be_read_gives_its_place_back_and_is_counted(narrow: ServedRepository) -> None:
    sample = 'vfnet_refusals{model="vfnet",reason="unreadable"}'
    before = metric(narrow, sample)
    for _ in range(2 * PLACES):
        with pytest.raises(InferenceServerException, match="empty"):
            document(narrow, b"")
    assert narrow.images_inside() == 0
    deadline = time.monotonic() + 10  # metrics are gathered in the background
    while metric(narrow, sample) < before + 2 * PLACES and time.monotonic() < deadline:
        time.sleep(0.1)
    assert metric(narrow, sample) == before + 2 * PLACES


def test_places_lost_with_a_killed_detector_are_free_when_it_is_back(narrow: ServedRepository, gate: Gate) -> None:
    async def crowd() -> None:
        async with connected(narrow.grpc_url) as transport:
            with gate.shut():
                tasks = [asyncio.create_task(transport.infer(IMAGE, timeout=30)) for _ in range(PLACES)]
                while narrow.images_inside() < PLACES:
                    await asyncio.sleep(SECONDS)
                narrow.model_processes("vfnet_detector")[0].kill()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(outcome, VFNetClientError) for outcome in outcomes)

    asyncio.run(crowd())
    started = time.monotonic()
    while True:
        try:
            document(narrow, IMAGE)
            break
        except InferenceServerException:
            assert time.monotonic() - started < 45, narrow.log.read_text()
            time.sleep(0.1)
    started = time.monotonic()
    with ThreadPoolExecutor(PLACES) as pool:
        list(pool.map(lambda _: document(narrow, IMAGE), range(2 * PLACES)))
    assert time.monotonic() - started < 45  # and not after the minute in which tickets become void by themselves


def test_the_settings_are_printed_and_held(narrow: ServedRepository) -> None:
    log = narrow.log.read_text()
    assert f"--max-in-flight {PLACES}" in log
    assert len([line for line in log.splitlines() if line.endswith(", as given")]) == 2
    assert len(narrow.model_processes("vfnet_preprocess")) == PREPROCESSES


def test_a_stopped_server_leaves_no_tickets_behind(narrow: ServedRepository) -> None:
    pid = psutil.Process(narrow.process.pid).children()[0].pid
    assert not list(Path("/dev/shm").glob(f"vfnet-tickets-{pid}-*"))
