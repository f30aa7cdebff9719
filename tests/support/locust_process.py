"""Locust as people call it, and a small server for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway
from shared_data import ROOT
from triton_server import ServedRepository

LOCUSTFILE = ROOT / "load_tests" / "locustfile.py"


@dataclass(frozen=True)
class LoadRunOutcome:
    """What a run of locust left."""

    code: int
    words: str
    figures: dict[str, Any]
    page: str


@dataclass(frozen=True)
class SmallServer:
    """Triton and gateway, and load for them."""

    triton: ServedRepository
    gateway: RunningGateway

    def load(self, folder: Path, *arguments: str) -> LoadRunOutcome:
        """Run locust against both; small pictures."""
        report = folder / "report.html"
        triton = self.triton
        targets = (
            f"--grpc=127.0.0.1:{triton.grpc_port}",
            f"--triton-http={triton.http_url}",
            f"--metrics=http://127.0.0.1:{triton.metrics_port}",
            f"--gateway={self.gateway.address}",
        )
        code, words = run_locust(*targets, "--sizes=96x64", f"--report={report}", *arguments)
        figures = json.loads(report.with_suffix(".json").read_text()) if report.exists() else {}
        return LoadRunOutcome(code, words, figures, report.read_text() if report.exists() else "")


def run_locust(*arguments: str) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stderr
