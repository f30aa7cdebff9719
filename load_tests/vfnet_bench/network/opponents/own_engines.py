"""The checkpoint's network in eager torch and in ONNX Runtime, each in a process of its own, with the served steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.mmdet_process import torch_environment
from vfnet_bench.network.agreement import FoundBox
from vfnet_bench.network.opponents.opponent import Conditions, Opponent
from vfnet_bench.worker_process import worker_process
from vfnet_client.cli import install_command

_WORKER = "vfnet_bench.network.engine_worker"


@contextmanager
def start_torch(conditions: Conditions) -> Iterator[Opponent]:
    """Raises BenchmarkError: it cannot be run."""
    yield from _start("torch", "eager torch", conditions)


@contextmanager
def start_onnxruntime(conditions: Conditions) -> Iterator[Opponent]:
    """Raises BenchmarkError: it cannot be run."""
    yield from _start("onnxruntime", "ONNX Runtime", conditions)


def check_onnxruntime(_: Path | None) -> None:
    """Raise BenchmarkError: it is not installed."""
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        raise BenchmarkError(f"--against onnxruntime needs packages: {install_command('bench')}")


def _start(kind: str, name: str, conditions: Conditions) -> Iterator[Opponent]:
    arguments = (kind, str(conditions.checkpoint), str(conditions.threads), str(conditions.scratch))
    command = [sys.executable, "-m", _WORKER, *arguments]
    log = conditions.scratch / f"{kind}.log"
    image = str(conditions.image.absolute())
    with worker_process(name, command, torch_environment(conditions.threads), log) as worker:

        def detect(path: Path) -> list[FoundBox]:
            return [FoundBox.from_row(row) for row in worker.run(str(path.absolute())).result]

        title = f"{name} {worker.versions[kind]}"
        yield Opponent(title, "one at a time", "s", lambda: worker.run(image).seconds, detect, worker.versions)
