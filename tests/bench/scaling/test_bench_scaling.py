"""`vfnet bench scaling`, briefly: a simulation, its picture, and the queue held against a server that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.served
def test_it_simulates_draws_and_holds_the_queue_against_a_server(demo_repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vfnet_client", "bench", "scaling", "--scenarios=burst", "--real=1", "--seconds=2"]
    options = [
        f"--repository={demo_repository}",
        "--noop=20",
        f"--pictures={tmp_path}",
        f"--json={tmp_path / 'figures'}",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| burst +\| 0\.8 images in flight a server", done.stdout, re.MULTILINE)
    assert (tmp_path / "scaling-burst.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "scaling-day.png").exists()
    figures = json.loads((tmp_path / "figures").read_text())
    rule, waiting, fixed = figures["scenarios"]["burst"]
    assert rule["refused_share"] < waiting["refused_share"] < fixed["refused_share"]
    assert all(0.02 <= each["figures"]["service"] < 0.1 for each in figures["held"])
    assert [each["failed"] for each in figures["held"]] == [0, 0]
