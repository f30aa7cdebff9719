"""Limits and disks that are too small: one sentence, or serving on, and never a traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from triton_server import NO_OP, ROOM
from vfnet_client.free_ports import free_ports
from vfnet_model import full_disk
from vfnet_train.training_state import save_durably
from waiting import eventually

VFNET = [sys.executable, "-m", "vfnet_client"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_build_on_a_full_disk_says_so_in_one_sentence(small_disk: Path) -> None:
    command = [*VFNET, "build", "--repository", str(small_disk / "repository")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"vfnet build: {small_disk}")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(small_disk.iterdir())


def test_a_trainings_state_on_a_full_disk_says_so_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        save_durably(small_disk / "training_state.pth", {"weights": torch.zeros(1 << 20)})
    assert not list(small_disk.iterdir())


def test_an_error_on_a_disk_with_room_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"), full_disk.told_as_oserror(tmp_path):
        raise RuntimeError("something else")


@pytest.mark.served
def test_too_few_open_files_are_said_at_once(demo_repository: Path) -> None:
    ports = [f"--{name}-port={port}" for name, port in zip(("http", "grpc", "metrics"), free_ports(3), strict=True)]
    command = " ".join([*VFNET, "serve", f"--repository={demo_repository}", *ports])
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 64; exec {command}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("vfnet serve: only 64 files may be open")


@pytest.mark.served
def test_a_server_whose_state_file_cannot_be_written_serves(demo_repository: Path, tmp_path: Path) -> None:
    http, grpc, metrics = free_ports(3)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    nowhere = tmp_path / "none" / "server.json"
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*VFNET, "serve", f"--repository={demo_repository}", f"--state-file={nowhere}", *ports, NO_OP, *ROOM],
            stderr=output,
        )
    try:
        assert eventually(lambda: "serving on without" in log.read_text() or server.poll() is not None, 120)
        assert server.poll() is None
        assert httpx.get(f"http://127.0.0.1:{http}/v2/health/ready", trust_env=False).status_code == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0


@pytest.mark.parametrize("server", ["grpc://host:port", "grpc://[::1", "grpc://host:99999", "host", ""])
def test_a_malformed_server_is_one_sentence(server: str) -> None:
    done = subprocess.run([*VFNET, "gateway", "--server", server], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert "grpc://host:port" in line


@pytest.mark.served
def test_a_port_that_is_taken_is_seen_before_anything_is_done(tmp_path: Path, demo_checkpoint: Path) -> None:
    http, grpc, metrics, score, score_grpc = free_ports(5)
    with socket.create_server(("127.0.0.1", score)):
        done = subprocess.run(
            [*VFNET, "up", f"--state={tmp_path / 'var'}", f"--checkpoint={demo_checkpoint}", f"--http-port={http}",
             f"--grpc-port={grpc}", f"--metrics-port={metrics}", f"--score-port={score}",
             f"--score-grpc-port={score_grpc}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {score}" in done.stderr
    assert "--score-port" in done.stderr
    assert not (tmp_path / "var" / "repository").exists()
