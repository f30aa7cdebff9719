"""`vfnet up`, `down` and `logs`: what `make up`, `make down` and `make logs` run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from vfnet_client.free_ports import free_ports
from waiting import eventually

pytestmark = pytest.mark.served


@pytest.fixture
def ports() -> list[str]:
    names = ("http", "grpc", "metrics", "score", "score-grpc")
    return [f"--{name}-port={port}" for name, port in zip(names, free_ports(5), strict=True)]


def vfnet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfnet_client", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_up_detects_twice_is_harmless_and_down_stops(tmp_path: Path, ports: list[str]) -> None:
    state = f"--state={tmp_path / 'var'}"
    try:
        first = vfnet("up", state, *ports)
        assert first.returncode == 0, first.stderr
        assert "boxes" in json.loads(first.stdout)
        with Image.open(tmp_path / "var" / "detections.png") as picture:
            assert picture.size == (960, 640)
        assert "UNTRAINED" not in first.stderr
        assert ports[1].removeprefix("--grpc-port=") in first.stderr
        server = json.loads((tmp_path / "var" / "server.json").read_text())
        gateway = json.loads((tmp_path / "var" / "gateway.json").read_text())
        assert f"{gateway['address']}/ui" in first.stderr
        (score,) = re.findall(r"^  echo .*\n.*/score$", first.stderr, re.MULTILINE)
        answer = subprocess.run(["bash", "-c", score], capture_output=True, check=True)
        assert json.loads(answer.stdout) == [json.loads(first.stdout)]

        second = vfnet("up", state, *ports)
        assert second.returncode == 0, second.stderr
        assert "already running" in second.stderr
        assert second.stdout == first.stdout
        assert json.loads((tmp_path / "var" / "server.json").read_text()) == server
        assert json.loads((tmp_path / "var" / "gateway.json").read_text()) == gateway

        (tmp_path / "keys").write_text("secret\n")
        third = vfnet("up", state, *ports, f"--keys-file={tmp_path / 'keys'}")
        assert third.returncode == 0, third.stderr
        assert json.loads((tmp_path / "var" / "server.json").read_text()) == server
        # Its parent, the old supervisor, has gone: the system's first process takes a moment to note that it has ended.
        assert eventually(lambda: not psutil.pid_exists(gateway["pid"]))
        gateway = json.loads((tmp_path / "var" / "gateway.json").read_text())
        assert "1 keys are valid" in vfnet("logs", state, "--gateway", "--no-follow").stdout

        psutil.Process(gateway["pid"]).kill()
        assert vfnet("up", state, *ports).returncode == 0
        gateway = json.loads((tmp_path / "var" / "gateway.json").read_text())
        assert psutil.pid_exists(gateway["pid"])

        logs = vfnet("logs", state, "--no-follow")
        assert "ready after" in logs.stdout
    finally:
        down = vfnet("down", state)
    assert "stopped gateway and server" in down.stderr
    assert not psutil.pid_exists(server["pid"])
    assert not psutil.pid_exists(gateway["pid"])
    assert "no server" in vfnet("down", state).stderr


def test_up_says_why_the_server_did_not_start(tmp_path: Path, ports: list[str]) -> None:
    outcome = vfnet("up", f"--state={tmp_path / 'var'}", *ports[:2], ports[1].replace("grpc", "metrics"), *ports[3:])
    assert outcome.returncode == 1
    assert "must differ" in outcome.stderr


def test_up_of_a_checkpoint_that_is_not_there_says_so(tmp_path: Path, ports: list[str]) -> None:
    outcome = vfnet("up", f"--state={tmp_path / 'var'}", "--checkpoint", str(tmp_path / "none.pth"), *ports)
    assert outcome.returncode == 1
    assert "none.pth" in outcome.stderr
    assert "Traceback" not in outcome.stderr
