"""A served repository stops when told to, and finishes what it has."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc

from held_detector import gate_of, with_gate
from score_requests import strip_png
from triton_server import NO_OP, ServedRepository, model_processes, serving
from vfnet_bench.served_repository import with_fixed_time
from vfnet_client.free_ports import free_ports
from waiting import eventually

pytestmark = pytest.mark.served


def ask(served: ServedRepository, image: bytes, answers: list[object]) -> None:
    """Send one image without waiting; the result or the error goes to `answers`."""
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{served.grpc_port}")
    value = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
    value.set_data_from_numpy(np.array([image], np.object_))
    client.async_infer("vfnet", [value], lambda result, error: answers.append(error or result), client_timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_requests_in_flight(
    number: signal.Signals, demo_repository: Path, tmp_path: Path
) -> None:
    repository = with_gate(with_fixed_time(demo_repository, tmp_path / "repository", 0))
    gate = gate_of(repository)
    with serving(repository, tmp_path, NO_OP) as served, gate.shut():
        everything = psutil.Process(served.process.pid).children(recursive=True)
        answers: list[object] = []
        for _ in range(4):
            ask(served, strip_png(), answers)
        while served.images_inside() < 4:
            time.sleep(0.05)
        served.process.send_signal(number)
        while "finishing what is in flight" not in served.log.read_text():
            time.sleep(0.05)
        time.sleep(0.5)
        assert served.process.poll() is None
        gate.open()
        assert served.process.wait(60) == 0
        deadline = time.monotonic() + 5
        while len(answers) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
        assert len(answers) == 4
        assert not [process for process in everything if process.is_running()]
        assert not list(Path("/dev/shm").glob(f"vfnet-{served.process.pid}-*"))
        assert not (tmp_path / "server.json").exists()
        assert "Traceback" not in served.log.read_text()


def test_the_servers_death_while_it_loads_a_model_is_no_end_either(demo_repository: Path, tmp_path: Path) -> None:
    """The model processes that are new then hold the connection that the answer would come by."""
    slow = with_fixed_time(demo_repository, tmp_path / "slow", 100)  # so that it serves another configuration
    names = ("http", "grpc", "metrics")
    ports = [f"--{name}-port={port}" for name, port in zip(names, free_ports(3), strict=True)]
    state = f"--state-file={tmp_path / 'state.json'}"
    command = [sys.executable, "-m", "vfnet_client", "serve", f"--repository={slow}", NO_OP, state, *ports]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            deadline = time.monotonic() + 60
            while len(model_processes(server.pid, "vfnet_preprocess")) <= 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            (triton,) = psutil.Process(server.pid).children()
            triton.kill()
            assert eventually((tmp_path / "state.json").exists, 60)
            server.terminate()
            _, said = server.communicate(timeout=60)
        finally:
            server.kill()
        assert server.returncode == 0
        assert "SIGKILL; starting Triton again" in said
        assert said.count("ready after") == 1


def test_killed_itself_it_takes_the_server_along(demo_repository: Path, tmp_path: Path) -> None:
    with serving(demo_repository, tmp_path, NO_OP) as served:
        everything = psutil.Process(served.process.pid).children(recursive=True)
        served.process.kill()
        _, alive = psutil.wait_procs(everything, timeout=45)
        assert not alive
