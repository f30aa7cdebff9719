"""`vfnet serve` that cannot start says why, in a sentence, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vfnet_client.free_ports import free_ports

pytestmark = pytest.mark.served

ImageResult = subprocess.CompletedProcess[str]


def command(repository: Path, ports: list[int], *options: str) -> list[str]:
    names = ("http", "grpc", "metrics")
    arguments = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    return [sys.executable, "-m", "vfnet_client", "serve", f"--repository={repository}", *arguments, *options]


def serve(repository: Path, ports: list[int], *options: str) -> ImageResult:
    return subprocess.run(
        command(repository, ports, *options), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def copied_repository(demo_repository: Path, tmp_path: Path) -> Path:
    """One that a test may spoil."""
    return Path(shutil.copytree(demo_repository, tmp_path / "repository"))


def test_a_taken_port_is_named_with_the_option_that_changes_it(demo_repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http_port, metrics_port = free_ports(2)
        outcome = serve(demo_repository, [http_port, port, metrics_port])
    assert outcome.returncode == 1
    assert f"port {port}" in outcome.stderr
    assert "--grpc-port" in outcome.stderr


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    outcome = serve(tmp_path, free_ports(3))
    assert outcome.returncode == 1
    assert "not a complete model repository" in outcome.stderr
    assert "vfnet build" in outcome.stderr


def test_a_missing_server_is_said_with_how_to_get_it(demo_repository: Path, tmp_path: Path) -> None:
    outcome = serve(demo_repository, free_ports(3), f"--triton={tmp_path}")
    assert outcome.returncode == 1
    assert "nvidia-pytriton" in outcome.stderr


def test_a_model_that_does_not_load_is_named_with_its_own_words(copied_repository: Path) -> None:
    (copied_repository / "vfnet_detector" / "1" / "network.xml").write_text("<net>")
    outcome = serve(copied_repository, free_ports(3))
    assert outcome.returncode == 1
    last = outcome.stderr.strip().splitlines()
    cause = "\n".join(last[-8:])
    assert "vfnet_detector failed to load" in cause
    assert "network.xml" in cause
    assert "vfnet failed to load" not in cause  # that is a consequence, not a cause


def test_a_model_without_its_labels_is_named(copied_repository: Path) -> None:
    for labels in copied_repository.glob("*/labels.txt"):
        labels.unlink()
    outcome = serve(copied_repository, free_ports(3))
    assert outcome.returncode == 1
    assert "labels.txt" in outcome.stderr


def test_nothing_is_left_behind(copied_repository: Path, tmp_path: Path) -> None:
    (copied_repository / "vfnet_detector" / "1" / "network.xml").unlink()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        command(copied_repository, free_ports(3)), env=os.environ | {"TMPDIR": str(temporary)}, stderr=subprocess.PIPE
    ) as server:
        _, words = server.communicate(timeout=120)
    assert b"vfnet_detector failed to load" in words
    assert not list(Path("/dev/shm").glob(f"vfnet-{server.pid}-*"))
    assert not list(temporary.glob("vfnet-*"))
