"""`vfnet bench batch`: the whole of it, briefly."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from batch_command import VFNET

pytestmark = pytest.mark.served


def test_it_measures_throughput_ledger_and_memory(demo_repository: Path) -> None:
    command = [
        *VFNET,
        "bench",
        "batch",
        f"--repository={demo_repository}",
        "--images=40",
        "--rounds=1",
        "--seconds=0.3",
    ]
    done = subprocess.run([*command, "--memory-images=60"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*?) +\| +[\d.]+(?: images/s| ms)? \| +\| +\| +\|$", done.stdout, re.MULTILINE)
    times = ["CPU time an image, server's best", "CPU time an image, batch"]
    assert rows == ["server's best", "batch", "batch / best", *times]
    assert re.search(r"^ledger: results waited [\d.]+ ms in [\d.]+ s for 1 shards", done.stdout, re.MULTILINE)
    assert re.search(r"^memory of the batch at every tenth of 60 images .* MiB: [\d., ]+$", done.stdout, re.MULTILINE)
