"""Our own commands as processes for tests, until they say that they are ready, and stopped at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

may_serve = True
"""Of the test that runs: whether it has the marker `served`. Outside of pytest anyone may."""


@contextmanager
def running_vfnet(
    *arguments: str, log: Path, state: Path, patience: float, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`vfnet ARGUMENTS --state-file=STATE` while in the context.

    Args:
        patience: seconds it may take to write its state file.
        environment: variables beside those of this process.
    """
    assert may_serve, "a test that starts a server has the marker `served`: see tests/support/markers.py"
    command = [sys.executable, "-m", "vfnet_client", *arguments, f"--state-file={state}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | dict(environment or {})
        )
    try:
        deadline = time.monotonic() + patience
        while not state.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
