"""The MLflow scoring server with MMDetection behind it: what a deployment of AzureML's model catalog is."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.measurement import Target
from vfnet_bench.mmdet_process import torch_environment, write_config
from vfnet_bench.network.agreement import FoundBox, boxes_in_pixels
from vfnet_bench.network.opponents.mmdet import mmdet_python
from vfnet_bench.network.opponents.opponent import Conditions, Opponent
from vfnet_client.detections import Detections
from vfnet_client.free_ports import free_ports

TARGET = Target(4, at_most=False)
PACKAGES = ("mlflow", "fastapi", "uvicorn", "pandas")
_INSTALL = "mlflow-skinny fastapi uvicorn pandas"
_MODEL = Path(__file__).parents[1] / "mlflow_model.py"
_SECONDS_TO_START, _SECONDS_TO_ANSWER = 300.0, 600


def check(named: Path | None) -> None:
    """Raise BenchmarkError: MMDetection's environment has no MLflow."""
    python = mmdet_python(named)
    script = f"import importlib.util as u; print(*[n for n in {PACKAGES!r} if u.find_spec(n) is None])"
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=False)
    if missing := done.stdout.split():
        raise BenchmarkError(f"{python} has no {', '.join(missing)}: {python} -m pip install {_INSTALL}")


@contextmanager
def start(conditions: Conditions) -> Iterator[Opponent]:
    """Raises BenchmarkError: it cannot be run."""
    model = conditions.scratch / "mlflow_model"
    versions = _write_model(model, conditions)
    with _serving(model, conditions) as address, httpx.Client(timeout=_SECONDS_TO_ANSWER, trust_env=False) as client:
        server = MLflowServer(f"{address}/invocations", client)
        body, callers = request_body(conditions.image.read_bytes()), conditions.concurrency
        yield Opponent(
            f"MLflow {versions['mlflow']} with MMDetection",
            f"{callers} in flight",
            "images/s",
            lambda: server.throughput(body, callers),
            server.detect,
            versions,
            TARGET,
        )


class MLflowServer:
    """Callers of `/invocations`."""

    def __init__(self, address: str, client: httpx.Client) -> None:
        self._address, self._client = address, client

    def throughput(self, body: bytes, callers: int) -> float:
        """Images per second when every caller sends one image at once."""
        with ThreadPoolExecutor(callers) as pool:
            started = time.perf_counter()
            list(pool.map(self.ask, [body] * callers))
            return callers / (time.perf_counter() - started)

    def detect(self, path: Path) -> list[FoundBox]:
        """In one image."""
        with Image.open(path) as image:
            width, height = image.size
        (answer,) = self.ask(request_body(path.read_bytes()))
        return boxes_in_pixels(Detections.from_json(answer), width, height)

    def ask(self, body: bytes) -> list[dict[str, Any]]:
        """Post a body; the predictions. Raises BenchmarkError: there are none."""
        try:
            answer = self._client.post(self._address, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise BenchmarkError(f"the MLflow server did not answer: {error!r}") from error
        if answer.status_code != 200:
            raise BenchmarkError(f"the MLflow server answered {answer.status_code}: {answer.text[:300]}")
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        return predictions


def request_body(image: bytes) -> bytes:
    """One encoded image, as MLflow takes a data frame."""
    data = [[base64.b64encode(image).decode()]]
    return json.dumps({"dataframe_split": {"columns": ["image"], "data": data}}).encode()


def _write_model(folder: Path, conditions: Conditions) -> dict[str, str]:
    config = write_config(conditions.checkpoint, conditions.scratch / "mlflow_mmdet_config.pkl")
    arguments = (folder, config, conditions.checkpoint, conditions.threads)
    command = [str(mmdet_python(conditions.mmdet_python)), "-I", str(_MODEL), *map(str, arguments)]
    done = subprocess.run(
        command, env=torch_environment(conditions.threads), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"the MLflow model could not be written: {_last_line(done.stderr)}")
    versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return versions


@contextmanager
def _serving(model: Path, conditions: Conditions) -> Iterator[str]:
    """`mlflow models serve`, until it answers; its address."""
    python, log = mmdet_python(conditions.mmdet_python), conditions.scratch / "mlflow.log"
    (port,) = free_ports(1)
    environment = torch_environment(conditions.threads)
    environment["PATH"] = f"{python.parent}:{environment.get('PATH', os.defpath)}"  # MLflow calls `uvicorn` by name
    command = [str(python), "-m", "mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--timeout", str(_SECONDS_TO_ANSWER)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=conditions.scratch, stdout=output, stderr=output, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _SECONDS_TO_START
        while not _answers(f"{address}/ping"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"the MLflow server did not start: {_last_line(log.read_text(errors='replace'))}")
            time.sleep(0.5)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the uvicorn that it started
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a word"])[-1]
