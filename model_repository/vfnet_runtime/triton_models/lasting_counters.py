"""Counters among Triton's metrics that several processes of a model add to, and that outlive each of them.

Triton removes a counter from its metrics when the process that made it first deletes it, although others with the same
labels still add to it, in memory that is free by then (2.51, and its main branch of 2026: the references are counted by
family object, and each process has one of its own). So what is made here is never deleted: a process that ends leaves
its counts, and the next one goes on with them, as Prometheus wants counters.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import triton_python_backend_utils as pb_utils


class LastingCounters:
    """One family.

    Args:
        name: of the metric.
        description: what it says; the same wherever it is made.
    """

    def __init__(self, name: str, description: str) -> None:
        self._family = _forever(
            pb_utils.MetricFamily(name=name, description=description, kind=pb_utils.MetricFamily.COUNTER)
        )

    def of(self, labels: Mapping[str, str]) -> Any:
        """The counter with these labels; `increment` it."""
        return _forever(self._family.Metric(labels=dict(labels)))


def _forever(metric: Any) -> Any:
    """The same, whose destructor, which would delete it at Triton, never runs, not even when the interpreter ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(metric))
    return metric
