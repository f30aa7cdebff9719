"""`vfnet_refusals`: Triton's metric of images that `vfnet_preprocess` turned away, by reason.

Those that find Triton's queue full never come here.
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

REASONS = ("unreadable", "cancelled", "failed")


class Refusals:
    """Counters, which the processes of this model add up in."""

    def __init__(self) -> None:
        self._family = pb_utils.MetricFamily(
            name="vfnet_refusals",
            description="Images that vfnet_preprocess turned away, by reason",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counters = {reason: self._family.Metric(labels={"reason": reason}) for reason in REASONS}

    def count(self, reason: str, response: Any) -> Any:
        """One more for this reason; `response` as it is."""
        self._counters[reason].increment(1)
        return response
