"""Model processes that die or hang are replaced, and nobody else notices."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tritonclient.utils import InferenceServerException

from held_detector import gate_of, with_gate
from score_requests import strip_png
from served_inference import document
from triton_server import NO_OP, ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_time
from waiting import eventually

pytestmark = pytest.mark.served

PROCESSES = {"vfnet_preprocess": 2, "vfnet_detector": 1, "vfnet_postprocess": 2}
MODELS = tuple(PROCESSES)
STALL_TIMEOUT = 5.0
"""Many times what a strip takes, also where others compute."""


@pytest.fixture(scope="module")
def watched(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with serving(demo_repository, tmp_path_factory.mktemp("watched"), f"--stall-timeout={STALL_TIMEOUT}") as served:
        yield served


@pytest.fixture(scope="module")
def image() -> bytes:
    return strip_png()


def seconds_until_served(served: ServedRepository, image: bytes, limit: float) -> float:
    started = time.monotonic()
    while True:
        try:
            document(served, image)
            return time.monotonic() - started
        except InferenceServerException:
            assert time.monotonic() - started < limit, served.log.read_text()
            time.sleep(0.1)


def other_processes(served: ServedRepository, model: str) -> set[int]:
    """Once those that an earlier test's replacement retired have left."""
    deadline = time.monotonic() + 20
    while True:
        found = {other: served.model_processes(other) for other in MODELS if other != model}
        if all(len(processes) == PROCESSES[other] for other, processes in found.items()):
            return {process.pid for processes in found.values() for process in processes}
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.parametrize("model", MODELS)
def test_a_killed_process_is_replaced(model: str, watched: ServedRepository, image: bytes) -> None:
    expected = document(watched, image)
    victim, others = watched.model_processes(model)[0], other_processes(watched, model)
    replaced = f"{model} serves again"
    before = watched.log.read_text().count(replaced)
    victim.kill()
    deadline = time.monotonic() + 60
    while watched.log.read_text().count(replaced) == before:
        assert time.monotonic() < deadline, watched.log.read_text()
        time.sleep(0.1)
    assert document(watched, image) == expected
    assert other_processes(watched, model) == others


@pytest.mark.parametrize(("model", "seconds"), [("vfnet_detector", 3.0), ("vfnet_postprocess", 5.0)])
def test_a_process_that_is_stopped_never_wakes(
    model: str, seconds: float, watched: ServedRepository, image: bytes
) -> None:
    """Triton would die of its late answer."""
    expected, before = document(watched, image), watched.log.read_text()
    triton = psutil.Process(watched.process.pid).children()[0]
    victim = watched.model_processes(model)[0]
    with ThreadPoolExecutor(2) as callers:
        victim.suspend()
        asked = [callers.submit(seconds_until_served, watched, image, 60) for _ in range(2)]
        time.sleep(seconds)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.resume()
        for each in asked:
            each.result()
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
    assert document(watched, image) == expected
    assert triton.is_running()
    assert f"a process of {model} was stopped: replacing it" in watched.log.read_text()[len(before) :]


def test_a_process_that_completes_nothing_is_replaced(demo_repository: Path, tmp_path: Path, image: bytes) -> None:
    repository = with_gate(with_fixed_time(demo_repository, tmp_path / "repository", 0))
    gate = gate_of(repository)
    with serving(repository, tmp_path, NO_OP, "--stall-timeout=2") as served:
        expected = document(served, image)
        with gate.shut(), pytest.raises(InferenceServerException):
            document(served, image)
        seconds_until_served(served, image, limit=60)
        assert document(served, image) == expected
        assert "completed nothing for 2 s" in served.log.read_text()


def test_work_that_takes_time_is_no_hang(watched: ServedRepository, image: bytes) -> None:
    """A queue longer than the stall timeout, each image of it well within."""
    before = {process.pid for process in watched.model_processes("vfnet_detector")}
    deadline = time.monotonic() + 1.2 * STALL_TIMEOUT
    while time.monotonic() < deadline:
        document(watched, image)
    assert {process.pid for process in watched.model_processes("vfnet_detector")} == before


def test_it_stops_promptly_although_a_process_was_lost(demo_repository: Path, tmp_path: Path, image: bytes) -> None:
    with serving(demo_repository, tmp_path, "--exit-timeout=120") as served:
        served.model_processes("vfnet_postprocess")[0].kill()
        seconds_until_served(served, image, limit=60)
        started = time.monotonic()
        served.process.terminate()
        assert served.process.wait(120) == 0
        # Triton by itself would wait for the dead process until --exit-timeout.
        assert time.monotonic() - started < 60
        assert not list(Path("/dev/shm").glob(f"vfnet-{served.process.pid}-*"))


def test_counts_outlive_the_processes_that_made_them(watched: ServedRepository, image: bytes) -> None:
    """Prometheus takes a counter that begins anew for one that was reset, and one that is away for nothing."""

    def counted(sample: str) -> float:
        url = f"http://127.0.0.1:{watched.metrics_port}/metrics"
        lines = urllib.request.urlopen(url, timeout=30).read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample), 0.0)

    refused = 'vfnet_refusals{model="vfnet",reason="unreadable"}'
    prepared = 'vfnet_step_seconds_count{model="vfnet",step="preprocess"}'
    unreadable = counted(refused)
    document(watched, image)
    with pytest.raises(InferenceServerException):
        document(watched, b"no image")
    assert eventually(lambda: counted(refused) > unreadable and counted(prepared) > 0)
    before = counted(refused), counted(prepared)
    replaced = watched.log.read_text().count("vfnet_preprocess serves again")
    watched.model_processes("vfnet_preprocess")[0].kill()
    assert eventually(lambda: watched.log.read_text().count("vfnet_preprocess serves again") > replaced, 60)
    document(watched, image)
    with pytest.raises(InferenceServerException):
        document(watched, b"no image")
    assert eventually(lambda: counted(refused) == before[0] + 1 and counted(prepared) > before[1])
