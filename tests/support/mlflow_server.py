"""MLflow's own scoring server for tests: `mlflow models serve` on a free port, stopped at the end.

It sees MLflow, what the folder's requirements name, and the folder: not the packages of this checkout. No packet of it
leaves this machine, and what tries is noted.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

import vfnet_process
from vfnet_client.free_ports import free_ports

MLFLOW = Path(sys.prefix, "mlflow")
"""Where `make test` puts it."""
FORBIDDEN = "forbidden.log"
"""In the scratch folder, where something wanted to leave this machine."""
_PACKAGES = Path(np.__file__).parents[1]
_PATIENCE = 90.0
"""Seconds."""
_LOOPBACK_ONLY = Path(__file__).parent / "loopback_only"
# -S: the packages of this checkout are found by .pth files, which it leaves alone; and sitecustomize.
_RUN = "import runpy, sitecustomize, sys; del sys.argv[0]; runpy.run_module(sys.argv[0], None, '__main__', True)"
_SILENCING = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION")
"""Where one of them is set, MLflow reports nothing."""


def mlflow_environment(scratch: Path) -> dict[str, str]:
    """For `python_command` and what that starts; skips the test where there is no MLflow."""
    if not (MLFLOW / "mlflow").is_dir():
        pytest.skip("no MLflow here: `make test` fetches it")
    programs = scratch / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "uvicorn"  # what MLflow starts by that name
    program.write_text(f'#!/bin/sh\nexec {shlex.join(python_command("uvicorn"))} "$@"\n')
    program.chmod(0o755)
    return {name: value for name, value in os.environ.items() if name not in _SILENCING} | {
        "PYTHONPATH": os.pathsep.join(map(str, (_LOOPBACK_ONLY, MLFLOW, _PACKAGES))),
        "PYTHON_LOOPBACK_ONLY_LOG": str(scratch / FORBIDDEN),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(scratch),
        "no_proxy": "*",
    }


def python_command(*arguments: str) -> list[str]:
    """`python -m ARGUMENTS`, for `mlflow_environment`."""
    return [sys.executable, "-S", "-c", _RUN, *arguments]


@contextmanager
def serving_with_mlflow(folder: Path, scratch: Path) -> Iterator[httpx.Client]:
    """`mlflow models serve` of a model folder while in the context; its log goes to `scratch`."""
    assert vfnet_process.may_serve, "a test that starts a server has the marker `served`: see tests/support/markers.py"
    (port,) = free_ports(1)
    command = python_command("mlflow", "models", "serve", f"--model-uri={folder}", "--env-manager=local")
    command += ["--host=127.0.0.1", f"--port={port}"]
    log = scratch / "mlflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=mlflow_environment(scratch),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield client
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # with the uvicorn that it started
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ping").status_code == 200
    except httpx.HTTPError:
        return False
