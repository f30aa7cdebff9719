"""How many servers Kubernetes' HorizontalPodAutoscaler wants, which is what KEDA makes of a ScaledObject.

The arithmetic is that of autoscaling/v2 for external metrics of the type AverageValue, and of its default `behavior`:
kubernetes.io, "Horizontal Pod Autoscaling" (algorithm details; default behavior).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SYNC_SECONDS = 15.0
"""Between two looks: kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
TOLERANCE = 0.1
"""Share of the target that nothing is done for: --horizontal-pod-autoscaler-tolerance."""
_MOST_NEW_SERVERS, _MOST_NEW_TIMES = 4, 2
"""Default policies of scaleUp: the larger of four more, or twice as many, every period."""


class Signal(StrEnum):
    """What is asked of Prometheus."""

    IN_FLIGHT = "images at servers and waiting for a place"
    WAITING = "images waiting in servers and for a place"


@dataclass(frozen=True)
class ScalingRule:
    """The chart's values `server.autoscaling`."""

    signal: Signal
    target: float
    """Images of the signal for each server."""
    smallest: int
    largest: int
    over: float = 60.0
    """Seconds that the signal is averaged over; 0: its last value."""
    refusals: float = 0.2
    """A second: more of them want one more server than there are."""
    down_after: float = 300.0
    """Seconds: fewer servers only where no look in them wanted as many (scaleDown.stabilizationWindowSeconds)."""
    up_period: float = 15.0
    """Seconds in which there may be four more or twice as many (scaleUp.policies, periodSeconds)."""
    scrape: float = 15.0
    """Seconds between two looks of Prometheus."""


CHART_RULE = ScalingRule(Signal.IN_FLIGHT, target=0.8, smallest=2, largest=8)
"""What `build/helm/vfnet/values.yaml` has. A test compares them."""


class Autoscaler:
    """One HorizontalPodAutoscaler: is told what there is at every look, and says how many servers are wanted."""

    def __init__(self, rule: ScalingRule) -> None:
        self.rule = rule
        self._recommended = deque[tuple[float, int]]()
        self._added = deque[tuple[float, int]]()

    def wanted(self, now: float, servers: int, signal: float, refusals: float) -> int:
        """
        Args:
            now: seconds, of a look.
            servers: that there are or that are starting.
            signal: of all servers together, as Prometheus gives it.
            refusals: a second.
        """
        rule = self.rule
        metrics = [replicas_for(servers, signal, rule.target)]
        if refusals > rule.refusals:
            metrics.append(servers + 1)
        if not self._recommended:
            self._recommended.append((now, servers))
        recommended = min(rule.largest, max(rule.smallest, *metrics))
        self._recommended.append((now, recommended))
        while self._recommended[0][0] < now - rule.down_after:
            self._recommended.popleft()
        if recommended < servers:
            return min(servers, max(number for _, number in self._recommended))
        while self._added and self._added[0][0] <= now - rule.up_period:
            self._added.popleft()
        before = servers - sum(number for _, number in self._added)
        allowed = max(servers, before + _MOST_NEW_SERVERS, before * _MOST_NEW_TIMES)
        wanted = min(recommended, allowed)
        if wanted > servers:
            self._added.append((now, wanted - servers))
        return wanted


def replicas_for(servers: int, total: float, target: float) -> int:
    """Servers that one metric wants: as many as there are within the tolerance, else total / target, rounded up."""
    if servers and abs(total / (target * servers) - 1.0) <= TOLERANCE:
        return servers
    return math.ceil(total / target)


def averaged(samples: Sequence[tuple[float, float]], now: float, over: float) -> float:
    """Prometheus' avg_over_time of (second, value) pairs, the newest last; the last value where `over` is 0."""
    if not samples:
        return 0.0
    recent = [value for at, value in samples if at > now - over] if over else []
    return sum(recent) / len(recent) if recent else samples[-1][1]
