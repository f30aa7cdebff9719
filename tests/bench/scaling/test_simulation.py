"""The simulation against formulas, and the rule against Kubernetes' own arithmetic."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from vfnet_bench.scaling.scaling_rule import Autoscaler, ScalingRule, Signal, averaged, replicas_for
from vfnet_bench.scaling.scenarios import Run, Scenario, run_scenario
from vfnet_bench.scaling.simulated_service import GatewayLimits, ServerFigures
from vfnet_bench.scaling.traffic import arrivals, burst, day, steady

ENDLESS = GatewayLimits(places=10**9, waiting=10**9, patience=math.inf)
RULE = ScalingRule(Signal.IN_FLIGHT, 0.7, 2, 10)


def mean_latency(run: Run) -> float:
    return float(run.answers[:, 1].mean())


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_server_is_the_queue_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: the mean wait is load * service / (2 * (1 - load))."""
    scenario = Scenario("M/D/1", steady(load), 60_000.0, servers=1, counts_from=1000.0)
    run = run_scenario(scenario, ServerFigures(1.0, overhead=0.25), ENDLESS, None, seed=1, step=60.0)
    expected = 1.0 + 0.25 + load / (2 * (1 - load))
    assert mean_latency(run) == pytest.approx(expected, rel=0.05)
    assert run.refused_share == 0


def test_several_servers_with_one_place_are_the_queue_m_m_c() -> None:
    """Erlang's C: servers that take one image at a time of one queue."""
    servers, load = 3, 0.8
    offered = servers * load
    rare = offered**servers / math.factorial(servers) / (1 - load)
    waits = rare / (sum(offered**k / math.factorial(k) for k in range(servers)) + rare)
    expected = 1.0 + waits / (servers * (1 - load))
    generator = random.Random(3)
    limits = GatewayLimits(places=1, waiting=10**9, patience=math.inf)
    scenario = Scenario("M/M/3", steady(offered), 40_000.0, servers=servers, counts_from=1000.0)
    run = run_scenario(
        scenario, ServerFigures(1.0), limits, None, seed=2, step=60.0, draw=lambda: generator.expovariate(1.0)
    )
    assert mean_latency(run) == pytest.approx(expected, rel=0.05)


def test_a_batch_is_answered_when_its_last_image_is_done() -> None:
    """Saturated, it answers one image each `service`, in eights."""
    scenario = Scenario("full", steady(20.0), 60.0, servers=1)
    run = run_scenario(scenario, ServerFigures(0.1, batch=8), ENDLESS, None, seed=4)
    ends = np.round(run.answers.sum(axis=1), 6)
    assert len(run.answers) == pytest.approx(600, abs=16)
    assert np.bincount(np.unique(ends, return_inverse=True)[1])[5:].tolist() == [8] * (len(np.unique(ends)) - 5)


def test_what_finds_no_place_waits_and_what_finds_no_room_is_refused() -> None:
    scenario = Scenario("too much", steady(10.0), 300.0, servers=1)
    limits = GatewayLimits(places=2, waiting=5, patience=100.0)
    run = run_scenario(scenario, ServerFigures(1.0), limits, None, seed=5)
    assert len(run.answers) == pytest.approx(300, abs=3)
    assert len(run.refused) == pytest.approx(2700, rel=0.1)
    assert run.latency(100) <= 8.0  # two places and five who wait, a second each, and what is left of one
    impatient = GatewayLimits(places=2, waiting=50, patience=4.0)
    run = run_scenario(scenario, ServerFigures(1.0), impatient, None, seed=5)
    assert run.latency(100) <= 4.0 + 3.0


def test_the_same_seed_is_the_same_run() -> None:
    scenario = Scenario("burst", burst(1.0, 8.0, 60.0, 120.0), 300.0, servers=2)
    runs = [run_scenario(scenario, ServerFigures(0.6), GatewayLimits(), RULE, seed=seed) for seed in (6, 6, 7)]
    assert np.array_equal(runs[0].answers, runs[1].answers)
    assert runs[0].history == runs[1].history
    assert not np.array_equal(runs[0].answers, runs[2].answers)


def test_servers_come_after_their_start_up_and_go_when_nobody_wanted_them_for_a_while() -> None:
    scenario = Scenario("burst", burst(1.0, 8.0, 60.0, 240.0), 1200.0, servers=2)
    run = run_scenario(scenario, ServerFigures(0.5, start_up=40.0), GatewayLimits(), RULE, seed=8, step=1.0)
    ready = run.history.ready
    first = next(second for second, number in enumerate(ready) if number > 2)
    assert 60 + 40 <= first <= 60 + 40 + 31  # a scrape, a look, a start
    assert max(ready) <= 10
    last = max(second for second, number in enumerate(ready) if number > 2)
    assert 240 + RULE.down_after <= last <= 240 + RULE.down_after + 90
    assert ready[-1] == 2


def test_of_a_lost_zone_no_image_is_lost() -> None:
    """What its servers had is asked of the others."""
    scenario = Scenario("zone", steady(3.0), 900.0, servers=6, loses_at=300.0, lost_share=1 / 3)
    run = run_scenario(scenario, ServerFigures(0.5), GatewayLimits(), None, seed=9, step=1.0)
    assert (run.history.ready[298], run.history.ready[302]) == (6, 4)
    assert run.history.ready[-1] == 6  # made anew, though no rule asked for it
    assert len(run.refused) == 0
    assert run.came - len(run.answers) < 10  # still in flight at the end
    assert run.latency(100) >= 2.0  # until it was noticed


def test_the_rule_is_kubernetes_arithmetic() -> None:
    assert replicas_for(4, total=20.0, target=2.0) == 10
    assert replicas_for(4, total=8.7, target=2.0) == 4  # within the tolerance of a tenth
    assert replicas_for(4, total=7.1, target=2.0) == 4
    assert replicas_for(4, total=5.9, target=2.0) == 3
    assert Autoscaler(RULE).wanted(0.0, 3, signal=70.0, refusals=0.0) == 7  # four more at once
    assert Autoscaler(ScalingRule(Signal.IN_FLIGHT, 0.7, 2, 50)).wanted(0.0, 10, signal=70.0, refusals=0.0) == 20
    assert Autoscaler(RULE).wanted(0.0, 3, signal=2.1, refusals=1.0) == 4  # one more, while callers are refused
    assert Autoscaler(RULE).wanted(0.0, 3, signal=0.0, refusals=0.0) == 3  # as many as the first look found


def test_more_servers_come_as_fast_as_the_policy_allows() -> None:
    autoscaler = Autoscaler(ScalingRule(Signal.IN_FLIGHT, 0.7, 2, 50, up_period=60.0))
    looks = [(0.0, 3), (15.0, 7), (30.0, 7), (60.0, 7), (75.0, 14), (120.0, 14)]
    wanted = [autoscaler.wanted(at, servers, signal=100.0, refusals=0.0) for at, servers in looks]
    assert wanted == [7, 7, 7, 14, 14, 28]


def test_fewer_servers_are_wanted_only_when_no_look_of_the_window_wanted_more() -> None:
    autoscaler = Autoscaler(RULE)
    assert autoscaler.wanted(0.0, 4, signal=4 * 0.7, refusals=0.0) == 4
    assert autoscaler.wanted(150.0, 4, signal=0.0, refusals=0.0) == 4
    assert autoscaler.wanted(301.0, 4, signal=0.0, refusals=0.0) == 2


def test_a_signal_is_averaged_as_prometheus_does() -> None:
    samples = [(0.0, 8.0), (15.0, 2.0), (30.0, 4.0)]
    assert averaged(samples, 31.0, 0.0) == 4.0
    assert averaged(samples, 31.0, 20.0) == 3.0
    assert averaged(samples, 120.0, 20.0) == 4.0
    assert averaged([], 1.0, 60.0) == 0.0


def test_arrivals_have_the_rate_that_was_asked_for() -> None:
    rate = day(10.0, seed=1)
    times = arrivals(rate, 86_400.0, seed=1)
    assert np.all(np.diff(times) >= 0)
    noon = ((times > 12 * 3600) & (times < 12.5 * 3600)).sum() / 1800
    night = ((times > 3.75 * 3600) & (times < 4.25 * 3600)).sum() / 1800
    assert noon == pytest.approx(10.0, rel=0.25)
    assert night == pytest.approx(1.5, rel=0.25)
    rush = ((times > 9.25 * 3600) & (times < 9.25 * 3600 + 180)).sum() / 180
    assert rush > 1.5 * ((times > 9.1 * 3600) & (times < 9.1 * 3600 + 180)).sum() / 180
