"""What was measured, point by point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vfnet_bench.load import Load

WARM_UP_SHARE = 0.2
"""Of a run of many requests: what memory does after it counts."""


@dataclass
class Point:
    """One value of what grows, measured in every round."""

    value: float
    rates: list[float] = field(default_factory=list)
    """Images per second, one a round, as the others."""
    medians: list[float] = field(default_factory=list)
    """Latency in seconds."""
    p99s: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    """Bytes by group of processes, when it was measured last."""

    def add(self, load: Load, memory: Mapping[str, float]) -> None:
        """One round."""
        self.rates.append(load.rate)
        self.medians.append(load.percentile(50))
        self.p99s.append(load.percentile(99))
        self.memory = dict(memory)


@dataclass(frozen=True)
class MemoryRun:
    """Memory while many requests were answered."""

    requests: Sequence[int]
    """Answered so far, at each sample."""
    memory: Sequence[Mapping[str, float]]
    """Bytes by group of processes."""

    def total(self) -> list[float]:
        """Bytes of all servers at each sample."""
        return [sum(each.values()) for each in self.memory]

    def growth(self) -> float:
        """Bytes by which a line through the samples after the warm-up rises over them."""
        requests = np.array(self.requests, np.float64)
        late = requests >= WARM_UP_SHARE * requests[-1]
        if late.sum() < 2:
            return 0.0
        slope = np.polyfit(requests[late], np.array(self.total())[late], 1)[0]
        return float(slope * (requests[late][-1] - requests[late][0]))


@dataclass(frozen=True)
class Growth:
    """A whole run."""

    sizes: Sequence[Point]
    """`value` in megapixels."""
    concurrency: Sequence[Point]
    detections: Sequence[Point]
    memory: MemoryRun
    setting: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything, and the growth of memory."""
        return asdict(self) | {"memory_growth_bytes": self.memory.growth()}
