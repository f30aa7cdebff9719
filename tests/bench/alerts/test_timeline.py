"""The picture of a run, from what the run wrote."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FIGURES = {
    "told": [{"fault": {"name": "overload", "began": 30.0, "ended": 55.0}}],
    "ringing": [{"alert": "VFNetRefusals", "severity": "warning", "began": 40.0, "ended": 60.0}],
    "burn_rates": {"availability": [[0.0, 0.0], [1.0, 3.5]], "latency": [[0.0, 0.0], [9.0, 1.0]]},
    "seconds": 90.0,
    "hour": 60.0,
}


def draw_from(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfnet_bench", "alerts", f"--drawn-from={file}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_picture_is_drawn_again_from_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(FIGURES))
    done = draw_from(tmp_path / "result.json", f"--plot={tmp_path / 'alerts.png'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "alerts.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["[]", "{}", "no JSON", '{"told": 1}'])
def test_what_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(content)
    done = draw_from(file, f"--plot={tmp_path / 'alerts.png'}")
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "alerts.png").exists()
