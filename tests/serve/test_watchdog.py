"""Model processes that die or hang are replaced, and nobody else notices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tritonclient.utils import InferenceServerException

from score_requests import strip_png
from served_inference import document
from triton_server import ServedRepository, serving

PROCESSES = {"vfnet_preprocess": 2, "vfnet_detector": 1, "vfnet_postprocess": 1}
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


def test_a_process_that_completes_nothing_is_replaced(watched: ServedRepository, image: bytes) -> None:
    expected = document(watched, image)
    victim = watched.model_processes("vfnet_detector")[0]
    victim.suspend()
    time.sleep(STALL_TIMEOUT + 0.5)
    # Replacing takes what loading takes; callers who come meanwhile get an error or wait.
    seconds_until_served(watched, image, limit=60)
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
    assert document(watched, image) == expected
    assert "completed nothing" in watched.log.read_text()


def test_work_that_takes_time_is_no_hang(watched: ServedRepository, image: bytes) -> None:
    """A queue longer than the stall timeout, each image of it well within."""
    before = {process.pid for process in watched.model_processes("vfnet_detector")}
    deadline = time.monotonic() + 2 * STALL_TIMEOUT
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
