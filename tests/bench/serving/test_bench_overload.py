"""`vfnet bench overload`: the whole of it, briefly; and the arithmetic."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vfnet_bench.load import Answer, percentile, rate
from vfnet_bench.serving.overload_rounds import recovery


@pytest.mark.served
def test_it_measures_a_server_that_is_asked_for_too_much(demo_repository: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "vfnet_client",
        "bench",
        "overload",
        f"--repository={demo_repository}",
        "--noop=20",
    ]
    options = ["--rounds=1", "--seconds=1", f"--json={tmp_path / 'figures.json'}", "--serve=--max-waiting=8"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| \*\*goodput / capacity\*\* \(≥ 0.95\) +\| +[\d.]+ \|$", done.stdout, re.MULTILINE)
    (figures,) = json.loads((tmp_path / "figures.json").read_text())["rounds"]
    assert 0 < figures["capacity"] <= 1000 / 20 + 5
    assert figures["goodput"] > 0
    assert figures["refused_p99"] < figures["accepted_p99"]
    assert figures["errors"] == figures["interactive_refused"] == 0


@pytest.mark.served
def test_the_server_that_does_not_start_says_why(demo_repository: Path) -> None:
    command = [sys.executable, "-m", "vfnet", "bench", "overload", f"--repository={demo_repository}", "--noop=1"]
    done = subprocess.run([*command, "--serve=--streams=3"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "--streams" in done.stderr
    assert "Traceback" not in done.stderr


def test_recovery_is_from_the_last_arrival_to_the_first_probe_that_is_quick_for_good() -> None:
    def probe(sent: float, seconds: float, status: int = 200) -> Answer:
        return Answer(sent, seconds, status)

    assert recovery([probe(10.1, 0.1), probe(10.3, 0.1)], ended=10, limit=0.2) == 0
    mixed = [probe(10.1, 0.5), probe(10.2, 0.1), probe(10.3, 0.01, 503), probe(10.4, 0.1), probe(10.5, 0.1)]
    assert math.isclose(recovery(mixed, ended=10, limit=0.2), 0.4)
    assert math.isinf(recovery([probe(10.1, 0.5)], ended=10, limit=0.2))


def test_only_detections_in_the_window_count() -> None:
    answers = [Answer(0.0, 1.5, 200), Answer(1.0, 0.5, 503), Answer(1.0, 0.9, 200), Answer(1.9, 0.2, 200)]
    assert rate(answers, (1.0, 2.0)) == 2
    assert percentile([1, 2, 3], 50) == 2
    assert math.isnan(percentile([], 50))
