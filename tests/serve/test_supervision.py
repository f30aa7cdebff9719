"""Triton that dies, stops or cannot load a model is started again; what cannot start ends with its reason."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from score_requests import strip_png
from served_inference import document, serves
from triton_server import NO_OP, ROOM, ServedRepository, model_processes, serving
from vfnet_client.free_ports import free_ports
from vfnet_serve.installation import ServerError
from vfnet_serve.restart_policy import TritonRestartPolicy
from waiting import eventually

PATIENCE = 90.0
"""Seconds that healing may take where others compute; what it takes alone is in docs/serving.md."""


def triton_of(served: ServedRepository) -> psutil.Process:
    return triton_below(served.process.pid)


def triton_below(pid: int) -> psutil.Process:
    found: list[psutil.Process] = []

    def exists() -> bool:
        found[:] = [
            child
            for child in psutil.Process(pid).children()
            if Path((child.cmdline() or [""])[0]).name == "tritonserver"
        ]
        return bool(found)

    assert eventually(exists, PATIENCE)
    return found[0]


@pytest.fixture(scope="module")
def supervised(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with serving(demo_repository, tmp_path_factory.mktemp("supervised"), NO_OP) as served:
        yield served


def wait_until_watched(supervised: ServedRepository) -> None:
    """An answer comes a moment before `vfnet serve` has seen, and said, that the server is ready."""
    assert eventually(lambda: "/metrics" in supervised.log.read_text().rstrip().splitlines()[-1], PATIENCE)


@pytest.mark.served
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_triton_is_started_again_on_the_same_ports(supervised: ServedRepository, number: signal.Signals) -> None:
    image, state = strip_png(), supervised.log.parent / "server.json"
    expected, before = document(supervised, image), state.read_text()
    wait_until_watched(supervised)
    triton = triton_of(supervised)
    left = [triton, *triton.children(recursive=True)]
    folder = Path(triton.cmdline()[1].removeprefix("--model-repository=")).parent
    triton.send_signal(number)
    assert eventually(lambda: not triton.is_running() or triton.status() == psutil.STATUS_ZOMBIE, 20)
    assert eventually(lambda: serves(supervised, image), PATIENCE), supervised.log.read_text()
    assert document(supervised, image) == expected
    assert triton_of(supervised).pid != triton.pid
    assert state.read_text() == before
    assert not [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not folder.exists()
    assert "starting Triton again" in supervised.log.read_text()


@pytest.mark.served
def test_a_short_stop_of_triton_or_of_everything_replaces_nothing(supervised: ServedRepository) -> None:
    image = strip_png()
    expected, triton = document(supervised, image), triton_of(supervised)
    wait_until_watched(supervised)
    for family in ([triton], [psutil.Process(supervised.process.pid), triton, *triton.children()]):
        before = supervised.log.read_text()
        for process in family:
            process.suspend()
        time.sleep(2.0)
        for process in family:
            process.resume()
        assert document(supervised, image) == expected
        time.sleep(1.0)
        assert supervised.log.read_text() == before
    assert triton_of(supervised).pid == triton.pid


@pytest.mark.served
def test_a_loading_process_that_dies_ends_the_load(supervised: ServedRepository) -> None:
    """However early: Triton waits for ever for one that dies before it has said that it lives."""
    image = strip_png()
    expected = document(supervised, image)
    first = supervised.model_processes("vfnet_detector")[0]
    first.kill()
    replacement: list[psutil.Process] = []

    def has_come() -> bool:
        replacement[:] = [each for each in supervised.model_processes("vfnet_detector") if each.pid != first.pid]
        return bool(replacement)

    assert eventually(has_come, 30)
    replacement[0].kill()
    assert eventually(lambda: serves(supervised, image), PATIENCE), supervised.log.read_text()
    assert document(supervised, image) == expected


@pytest.mark.served
def test_it_stops_while_a_model_is_loaded(demo_repository: Path, tmp_path: Path) -> None:
    with serving(slow_to_load(demo_repository, tmp_path), tmp_path, NO_OP, "--exit-timeout=5") as served:
        served.model_processes("vfnet_detector")[0].kill()
        assert eventually(lambda: "replacing it" in served.log.read_text(), 20)
        time.sleep(0.5)
        started = time.monotonic()
        served.process.terminate()
        assert served.process.wait(60) == 0
        assert time.monotonic() - started < 30
        assert not list(Path("/dev/shm").glob(f"vfnet-{served.process.pid}-*"))


def slow_to_load(repository: Path, folder: Path) -> Path:
    copy = Path(shutil.copytree(repository, folder / "slow"))
    model = copy / "vfnet_detector" / "1" / "noop_model.py"
    model.write_text(
        model.read_text().replace('"""Make the answer."""', '"""Make the answer."""\n        time.sleep(2)')
    )
    return copy


@contextmanager
def starting(repository: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`vfnet serve` from its first moment on."""
    names = zip(("http", "grpc", "metrics"), free_ports(3), strict=True)
    command = [sys.executable, "-m", "vfnet_client", "serve", f"--repository={repository}", NO_OP, *ROOM, *options]
    command += [f"--{name}-port={port}" for name, port in names]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.served
def test_a_model_process_that_dies_at_every_start_is_said_with_its_last_words(
    demo_repository: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(demo_repository, tmp_path / "dying"))
    model = copy / "vfnet_detector" / "1" / "noop_model.py"
    model.write_text("import os\nos.write(2, b'no room left on the moon\\n')\nos._exit(3)\n")
    with starting(copy, "--max-restarts=1") as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    last = said.strip().splitlines()[-1]
    assert "vfnet_detector" in last
    assert "2 times in a row" in last
    assert "no room left on the moon" in said
    assert said.count("starting Triton again") == 1


@pytest.mark.served
def test_a_model_process_killed_during_the_start_does_not_keep_it_from_serving(
    demo_repository: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    with starting(slow_to_load(demo_repository, tmp_path), f"--state-file={state}") as process:
        victims: list[psutil.Process] = []

        def has_come() -> bool:
            victims[:] = model_processes(process.pid, "vfnet_detector")
            return bool(victims)

        assert eventually(has_come, PATIENCE)
        victims[0].kill()
        assert eventually(state.exists, PATIENCE)
        assert json.loads(state.read_text())["pid"] == process.pid
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.count("starting Triton again") == 1


@pytest.mark.served
def test_a_server_that_was_killed_leaves_nothing_for_long(
    demo_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # a server that starts beside would clean the usual one
    with serving(demo_repository, tmp_path, NO_OP) as served:
        folder = Path(triton_of(served).cmdline()[1].removeprefix("--model-repository=")).parent
        everything = psutil.Process(served.process.pid).children(recursive=True)
        served.process.kill()
        psutil.wait_procs(everything, timeout=45)
    assert folder.exists()
    (tmp_path / "next").mkdir()
    with serving(demo_repository, tmp_path / "next", NO_OP) as served:
        assert not folder.exists()
        assert "removed what a server that was killed had left" in served.log.read_text()
        document(served, strip_png())


def test_starts_that_fail_are_counted_and_deaths_after_serving_are_not() -> None:
    policy, reason = TritonRestartPolicy(2), ServerError("why")
    for _ in range(3):
        assert policy.seconds_after_failing(reason) < 1
        assert policy.seconds_after_failing(reason) < 2
        assert policy.seconds_after_serving(1) < 4
    policy.seconds_after_failing(reason)
    policy.seconds_after_failing(reason)
    with pytest.raises(ServerError, match=r"why; Triton did not start 3 times in a row"):
        policy.seconds_after_failing(reason)
    assert all(TritonRestartPolicy(0).seconds_after_serving(1) <= 3 for _ in range(100))


def test_a_server_that_may_not_fail_ends_with_the_reason_alone() -> None:
    with pytest.raises(ServerError, match=r"^why$"):
        TritonRestartPolicy(0).seconds_after_failing(ServerError("why"))
