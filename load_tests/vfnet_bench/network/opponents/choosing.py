"""Who the served detector can be measured against, by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from vfnet_bench.network.opponents import mlflow, mmdet, own_engines
from vfnet_bench.network.opponents.opponent import Conditions, Opponent

Start = Callable[[Conditions], AbstractContextManager[Opponent]]

OPPONENTS: dict[str, Start] = {
    "mmdet": mmdet.start,
    "onnxruntime": own_engines.start_onnxruntime,
    "torch": own_engines.start_torch,
    "mlflow": mlflow.start,
}
CHECKS: dict[str, Callable[[Path | None], None]] = {
    "mmdet": mmdet.check,
    "onnxruntime": own_engines.check_onnxruntime,
    "mlflow": mlflow.check,
}
"""What would fail only after minutes, told where MMDetection's interpreter is; each raises BenchmarkError."""
