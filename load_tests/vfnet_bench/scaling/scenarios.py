"""A traffic, servers and a rule put together: what becomes of every image, and how many servers that took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import simpy

from vfnet_bench.scaling.scaling_rule import SYNC_SECONDS, Autoscaler, ScalingRule, Signal, averaged
from vfnet_bench.scaling.simulated_service import GatewayLimits, ServerFigures, SimulatedService, Steps
from vfnet_bench.scaling.traffic import Rate, arrivals

REPLACED_AFTER = 350.0
"""Seconds until pods of a node that is away are made anew: kube-controller-manager's --node-monitor-grace-period, 50 s,
and the 300 s that pods tolerate an unreachable node unless they say otherwise."""
_REFUSALS_OVER = 60.0
"""The rule's rate(...[1m])."""


@dataclass(frozen=True)
class Scenario:
    """What happens."""

    name: str
    rate: Rate
    seconds: float
    servers: int
    """Ready at the start."""
    loses_at: float | None = None
    """When a zone goes."""
    lost_share: float = 0.0
    """Of the servers, then."""
    counts_from: float = 0.0
    """Seconds; what comes before is not counted."""


@dataclass
class History:
    """What there was every `step` seconds."""

    step: float
    ready: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """What became of a scenario."""

    scenario: Scenario
    came: int
    """Images that count."""
    refused: npt.NDArray[np.float64]
    """When each was refused that counts."""
    answers: npt.NDArray[np.float64]
    """[n, 2]: when each came that counts, and the seconds until its answer."""
    history: History
    server_hours: float
    changes: int
    """Times that another number of servers was wanted."""

    @property
    def refused_share(self) -> float:
        """Of all that came."""
        return len(self.refused) / max(1, self.came)

    def latency(self, percent: float) -> float:
        """Seconds; NaN where nothing was answered."""
        return float(np.percentile(self.answers[:, 1], percent)) if len(self.answers) else float("nan")


def run_scenario(
    scenario: Scenario,
    figures: ServerFigures,
    limits: GatewayLimits,
    rule: ScalingRule | None,
    *,
    seed: int = 0,
    step: float = 5.0,
    draw: Callable[[], float] | None = None,
    came: npt.NDArray[np.float64] | None = None,
) -> Run:
    """Simulate it; the same seed gives the same run.

    Args:
        rule: None: the servers of the start, always.
        step: seconds between two entries of the history.
        draw: see `SimulatedService`.
        came: when images come, in order, instead of arrivals with the scenario's rate.
    """
    environment = simpy.Environment()
    service = SimulatedService(environment, figures, limits, draw)
    for _ in range(scenario.servers):
        service.add_server()
    if came is None:
        came = arrivals(scenario.rate, scenario.seconds, seed)
    environment.process(_arrive(service, came))
    cluster = _Cluster(service, scenario)
    history = History(step)
    environment.process(_watch(service, cluster, history))
    if rule is not None:
        environment.process(cluster.follow(rule))
    if scenario.loses_at is not None:
        environment.process(cluster.lose_zone(scenario.loses_at, scenario.lost_share))
    environment.run(until=scenario.seconds)
    answers = np.array(service.answered, dtype=np.float64).reshape(-1, 2)
    refused = np.array(sorted(service.refused), dtype=np.float64)
    first = scenario.counts_from
    counted = [number for index, number in enumerate(history.ready) if index * step >= first]
    return Run(
        scenario,
        int((came >= first).sum()),
        refused[refused >= first],
        answers[answers[:, 0] >= first],
        history,
        sum(counted) * step / 3600.0,
        cluster.changes,
    )


class _Cluster:
    """Kubernetes: pods that start, stop and are made anew, and the autoscaler that wants them."""

    def __init__(self, service: SimulatedService, scenario: Scenario) -> None:
        self.service, self.environment = service, service.environment
        self.wanted = scenario.servers
        self.starting: list[object] = []
        """A token for each server that is starting."""
        self.away = 0
        """Pods on nodes that are away, which still count as there."""
        self.changes = 0

    def follow(self, rule: ScalingRule) -> Steps:
        """Look at what Prometheus has, every 15 s."""
        autoscaler, samples = Autoscaler(rule), deque[tuple[float, float]](maxlen=64)
        self.environment.process(self._scrape(rule, samples))
        while True:
            yield self.environment.timeout(SYNC_SECONDS)
            now = self.environment.now
            signal = averaged(samples, now, rule.over)
            wanted = autoscaler.wanted(now, self.wanted, signal, self._refusals(now))
            self.changes += wanted != self.wanted
            self.wanted = wanted
            self._reconcile()

    def lose_zone(self, at: float, share: float) -> Steps:
        """Some servers are gone at once; their pods are made anew once Kubernetes has given up on the nodes."""
        yield self.environment.timeout(at)
        ready = [server for server in self.service.servers if server.is_open]
        lost = ready[: round(share * len(ready))]
        for server in lost:
            self.service.lose(server)
        self.away = len(lost)
        yield self.environment.timeout(REPLACED_AFTER)
        self.away = 0
        self._reconcile()

    def _scrape(self, rule: ScalingRule, samples: deque[tuple[float, float]]) -> Steps:
        service = self.service
        while True:
            inside = service.in_flight if rule.signal is Signal.IN_FLIGHT else service.queued
            samples.append((self.environment.now, float(inside + len(service.waiting))))
            yield self.environment.timeout(rule.scrape)

    def _refusals(self, now: float) -> float:
        number = 0
        for at in reversed(self.service.refused):
            if at <= now - _REFUSALS_OVER:
                break
            number += 1
        return number / _REFUSALS_OVER

    def _reconcile(self) -> None:
        """As many pods as are wanted. As of a ReplicaSet those that are not ready go first."""
        ready = [server for server in self.service.servers if server.is_open]
        pods = len(ready) + len(self.starting) + self.away
        for _ in range(self.wanted - pods):
            token = object()
            self.starting.append(token)
            self.environment.process(self._start(token))
        too_many = pods - self.wanted
        for _ in range(min(too_many, len(self.starting))):
            self.starting.pop()
            too_many -= 1
        unreachable = min(max(0, too_many), self.away)
        self.away -= unreachable
        too_many -= unreachable
        for server in reversed(ready):
            if too_many <= 0:
                break
            self.service.close(server)
            too_many -= 1

    def _start(self, token: object) -> Steps:
        yield self.environment.timeout(self.service.figures.start_up)
        if token in self.starting:
            self.starting.remove(token)
            self.service.add_server()


def _arrive(service: SimulatedService, came: npt.NDArray[np.float64]) -> Steps:
    for at in came:
        yield service.environment.timeout(max(0.0, float(at) - service.environment.now))
        service.arrive()


def _watch(service: SimulatedService, cluster: _Cluster, history: History) -> Steps:
    while True:
        history.ready.append(sum(server.is_open for server in service.servers))
        history.wanted.append(cluster.wanted)
        history.in_flight.append(service.in_flight)
        history.waiting.append(len(service.waiting))
        yield service.environment.timeout(history.step)
