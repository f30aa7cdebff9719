"""How busy processor and GPU are while something is measured: what is near 100 % is what limits."""

from __future__ import annotations

import subprocess
import threading
from types import TracebackType

import psutil

from vfnet_bench.gpu.conditions import Conditions

_QUERY = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
_PAUSE = 0.5
"""Seconds between two looks at the GPU."""


class ProcessorUse:
    """Watches while in the context."""

    def __init__(self, conditions: Conditions) -> None:
        self._device = conditions.device
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._lines = list[str]()
        self.percent: dict[str, float] = {}
        """Afterwards: of all cores, and of the GPU, on average."""

    def __enter__(self) -> ProcessorUse:
        psutil.cpu_percent()
        if self._device.type == "cuda":
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.percent = {"CPU %": psutil.cpu_percent()}
        self._ended.set()
        if self._device.type == "cuda":
            self._watcher.join(timeout=10)
            self.percent["GPU %"] = mean_of_lines("".join(self._lines))

    def _watch(self) -> None:
        command = ["nvidia-smi", f"--id={self._device.index}", *_QUERY]
        while not self._ended.wait(_PAUSE):
            try:
                answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
            except (OSError, subprocess.TimeoutExpired):  # the rates are worth having without
                continue
            self._lines.append(answer.stdout)


def mean_of_lines(text: str) -> float:
    """Of the whole numbers among the lines; NaN where there is none."""
    values = [int(line) for line in text.split() if line.isdecimal()]
    return sum(values) / len(values) if values else float("nan")
