"""What the sampler saw, as series over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_load.server_processes import MODELS

Series = npt.NDArray[np.float64]
_MICROSECONDS = {
    "queue": "nv_inference_queue_duration_us",
    "input": "nv_inference_compute_input_duration_us",
    "compute": "nv_inference_compute_infer_duration_us",
    "output": "nv_inference_compute_output_duration_us",
}


class ServerSamples:
    """Samples of one run, in order of time."""

    def __init__(self, samples: Sequence[dict[str, Any]]) -> None:
        self.samples = samples
        self.at: Series = np.array([each["at"] for each in samples], np.float64)

    @classmethod
    def read(cls, path: Path) -> ServerSamples:
        """From the sampler's file; one that was cut short in a line loses that line."""
        samples = []
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                samples.append(json.loads(line))
            except ValueError:
                break
        return cls(samples)

    def counter(self, server: str, name: str, key: str) -> Series:
        """A counter at each sample, from 0; NaN where the server did not answer."""
        answers = (each[server] for each in self.samples)
        values = [np.nan if answer is None else answer.get(name, {}).get(key, 0.0) for answer in answers]
        series = np.array(values, np.float64)
        known = series[~np.isnan(series)]
        return series - (known[0] if len(known) else 0.0)

    def batch_sizes(self, model: str = "vfnet_detector") -> Series:
        """Images per execution between each two samples; NaN where there was none."""
        images = np.diff(self.counter("triton", "nv_inference_count", model))
        executions = np.diff(self.counter("triton", "nv_inference_exec_count", model))
        return np.divide(images, executions, out=np.full_like(images, np.nan), where=executions > 0)

    def mean_batch_size(self, model: str = "vfnet_detector") -> float | None:
        """Of the whole run: nv_inference_count / nv_inference_exec_count."""
        images, executions = (
            _last(self.counter("triton", name, model)) for name in ("nv_inference_count", "nv_inference_exec_count")
        )
        return images / executions if executions else None

    def seconds_per_image(self) -> dict[str, dict[str, float]]:
        """By model, where an image's time went: waiting in the queue, and computing."""
        found = {}
        for model in MODELS:
            images = _last(self.counter("triton", "nv_inference_request_success", model))
            if images:
                found[model] = {
                    part: _last(self.counter("triton", name, model)) / images / 1e6
                    for part, name in _MICROSECONDS.items()
                }
        return found

    def cores(self, group: str) -> Series:
        """CPU seconds per second of a group of processes, between each two samples; 0 where one of it has gone."""
        used = np.array([each["processes"][group]["cpu"] for each in self.samples], np.float64)
        cores: Series = np.maximum(0.0, np.diff(used)) / np.maximum(1e-3, np.diff(self.at))
        return cores

    def memory(self, group: str) -> Series:
        """Bytes at each sample."""
        return np.array([each["processes"][group]["memory"] for each in self.samples], np.float64)

    def process_figures(self) -> dict[str, dict[str, float]]:
        """Of each group of processes that was there: cores on average, and the most memory in bytes."""
        if len(self.at) < 2:
            return {}
        groups = {name: (self.cores(name), self.memory(name)) for name in self.samples[0]["processes"]}
        return {
            name: {"mean_cores": float(cores.mean()), "peak_memory_bytes": float(memory.max())}
            for name, (cores, memory) in groups.items()
            if memory.any()
        }

    def gateway_refusals(self) -> dict[str, int]:
        """By the gateway's own count."""
        keys = {key for each in self.samples for key in (each["gateway"] or {}).get("vfnet_gateway_refusals", {})}
        counts = {key: int(_last(self.counter("gateway", "vfnet_gateway_refusals", key))) for key in sorted(keys)}
        return {key: count for key, count in counts.items() if count}


def _last(series: Series) -> float:
    known = series[~np.isnan(series)]
    return float(known[-1]) if len(known) else 0.0
