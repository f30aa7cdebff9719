"""The real MMDetection 2.28.2, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shared_data import ROOT, SHARED

PYTHON = Path(os.environ.get("VFNET_MMDET_PYTHON", ROOT / ".mmdet" / "bin" / "python"))

needs_mmdet = pytest.mark.skipif(
    not (PYTHON.is_file() and SHARED.is_dir()), reason="needs the real mmdet: `make parity` installs it into .mmdet"
)


def run_in_mmdet(script: Path, *arguments: str | Path) -> str:
    """Run a script there; its standard output."""
    environment = os.environ | {"PYTHONPATH": str(SHARED / "reference" / "stub")}
    command = [str(PYTHON), str(script), *map(str, arguments)]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    return outcome.stdout
