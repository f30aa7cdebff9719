"""A run that is over, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_load.records import ANSWERED, Record
from vfnet_load.server_processes import GENERATOR
from vfnet_load.server_samples import ServerSamples

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
_LATE = 0.1
"""Seconds by which a generator may send late before the report says that it was not up to the rate."""
_MOST_REASONS = 20


@dataclass(frozen=True)
class LoadRun:
    """Requests in the order they were due, and what was seen of the servers meanwhile."""

    records: Sequence[Record]
    samples: ServerSamples
    settings: dict[str, str]
    """What was chosen, in words."""
    machine: dict[str, Any]

    def answered(self) -> list[Record]:
        """Requests with a right answer."""
        return [record for record in self.records if record.reason == ANSWERED]

    @property
    def started(self) -> float:
        """When the first request was due, in seconds since the epoch."""
        return self.records[0].at if self.records else 0.0

    @property
    def seconds(self) -> float:
        """From then to the last answer or refusal."""
        return max((record.at + record.latency for record in self.records), default=self.started) - self.started

    def rate(self, records: Sequence[Record]) -> float:
        """So many in these seconds."""
        return len(records) / self.seconds if self.seconds else 0.0

    def reasons(self) -> dict[str, int]:
        """Why requests were not answered, the commonest first."""
        counts = Counter(record.reason for record in self.records if record.reason != ANSWERED)
        return dict(counts.most_common(_MOST_REASONS))

    def lag(self) -> float:
        """99th percentile of how late requests were sent, in seconds."""
        return float(np.percentile([record.lag for record in self.records], 99)) if self.records else 0.0

    def warnings(self) -> list[str]:
        """What makes the figures less than they seem."""
        found = []
        if not self.records:
            found.append("No request was made.")
        if self.lag() > _LATE:
            found.append(
                f"The load generator fell behind: 1 % of the requests were sent over {self.lag():.2f} s late, which is "
                "part of their latency. Spread the load over workers (--processes), or ask for less."
            )
        if len(self.samples.at) < 2:
            found.append("The servers' processes and metrics were not seen: they are not on this machine.")
        elif self.generator_cores() > 0.9:
            found.append(
                f"The load generator used {self.generator_cores():.1f} cores: it competes with servers on one machine."
            )
        return found

    def generator_cores(self) -> float:
        """On average."""
        cores = self.samples.cores(GENERATOR)
        return float(cores.mean()) if len(cores) else 0.0

    def figures(self) -> dict[str, Any]:
        """The run as JSON values."""
        answered = self.answered()
        return {
            "settings": self.settings,
            "machine": self.machine,
            "seconds": self.seconds,
            "requests": len(self.records),
            "answered": len(answered),
            "not_answered": self.reasons(),
            "requests_per_second": self.rate(self.records),
            "answered_per_second": self.rate(answered),
            "latency_s": latency_figures(answered),
            "latency_s_by_way": {way: latency_figures(of) for way, of in by(answered, "way").items()},
            "latency_s_by_size": {size: latency_figures(of) for size, of in by(answered, "size").items()},
            "generator_lag_p99_s": self.lag(),
            "mean_batch_size": self.samples.mean_batch_size(),
            "seconds_per_image": self.samples.seconds_per_image(),
            "gateway_refusals": self.samples.gateway_refusals(),
            "processes": self.samples.process_figures(),
        }


def latencies(records: Sequence[Record]) -> npt.NDArray[np.float64]:
    """In seconds."""
    return np.array([record.latency for record in records], np.float64)


def latency_figures(records: Sequence[Record]) -> dict[str, float]:
    """Seconds: mean, percentiles and maximum, with the `count` they were made from."""
    if not records:
        return {"count": 0}
    values = latencies(records)
    percentiles = {f"p{percent:g}": float(np.percentile(values, percent)) for percent in PERCENTILES}
    return {"count": len(values), "mean": float(values.mean()), **percentiles, "max": float(values.max())}


def by(records: Sequence[Record], name: str) -> dict[str, list[Record]]:
    """Grouped by a field, in the field's order."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(getattr(record, name)), []).append(record)
    return dict(sorted(groups.items()))
