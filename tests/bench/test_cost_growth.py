"""`vfnet bench growth`: all of it, briefly; and the arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vfnet_bench.growth.points import MemoryRun


@pytest.mark.served
def test_it_plots_what_grows(demo_repository: Path, tmp_path: Path) -> None:
    report = tmp_path / "reports" / "growth.html"
    command = [sys.executable, "-m", "vfnet_client", "bench", "growth", f"--repository={demo_repository}"]
    options = ["--sizes", "64x64", "320x240", "--concurrency", "1", "40", "--detections", "100", "--requests=40"]
    short = ["--seconds=0.2", "--rounds=1", f"--report={report}"]
    done = subprocess.run([*command, *options, *short], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.with_suffix(".json").read_text())
    # 40 at once are more than the queue that `vfnet serve` would choose has room for.
    assert [point["value"] for point in figures["concurrency"]] == [1, 40]
    assert [point["value"] for point in figures["detections"]] == [100]
    assert all(point["rates"][0] > 0 for name in ("sizes", "concurrency", "detections") for point in figures[name])
    assert figures["memory"]["requests"][-1] >= 40
    assert min(figures["memory"]["memory"][-1].values()) > 2**20  # every group of processes was found
    page = report.read_text()
    assert page.count('src="data:image/svg+xml;base64,') == 8
    assert "http://" not in page


def test_memorys_growth_is_what_comes_after_the_warm_up() -> None:
    requests = [0, 100, 200, 400, 600, 800, 1000]
    leaking = MemoryRun(requests, [{"a": 50.0 + n / 10, "b": 100.0} for n in requests])
    assert leaking.growth() == pytest.approx(80)  # from 200 to 1000
    warmed = MemoryRun(requests, [{"a": 50.0 if n == 0 else 90.0} for n in requests])
    assert warmed.growth() == pytest.approx(0)
    assert MemoryRun([0, 5], [{"a": 1.0}, {"a": 9.0}]).growth() == 0
