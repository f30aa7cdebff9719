"""A candidate gets its share step by step, and goes back for each of the reasons, which it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from vfnet_client.exceptions import CommandError, InferenceError
from vfnet_gateway.traffic.answer_agreement import Agreement
from vfnet_gateway.traffic.canary import Canary, CanaryPlan, CanaryResult
from vfnet_gateway.traffic.deployment_metrics import DeploymentMetrics
from vfnet_gateway.traffic.evidence import Evidence
from vfnet_gateway.traffic.judging import CanaryLimits, complaint, wilson
from vfnet_gateway.traffic.split import TrafficSplit, change_split, read_traffic

NOTHING = json.dumps({"boxes": []}).encode()
PLAN = CanaryPlan("vfnet.2", seconds=60, promote=True)
LIMITS = CanaryLimits()


class FakeGateway:
    """Metrics as a gateway has them; each second that the trial waits, so much traffic comes."""

    def __init__(self, file: Path) -> None:
        self.file, self.now = file, 0.0
        self.shares = list[float]()
        """That the candidate had, one after the other."""
        self.split: TrafficSplit | None = None
        self.takes_up = True
        self.is_there = True
        self.errors, self.seconds, self.agreement = 0.0, 0.02, 1.0
        """Of the candidate: share of images, time for an image, share of boxes."""
        self.is_silent = False
        self.rate = 50
        self.restart()

    def restart(self) -> None:
        """It counts from 0."""
        self.registry = CollectorRegistry()
        self.metrics = DeploymentMetrics(self.registry)
        self.waiting = 0
        self.metrics.watch("vfnet.2", lambda: self.waiting)
        self.metrics.show("vfnet", None, self.split)

    def text(self) -> bytes:
        splits = read_traffic(self.file)
        if self.takes_up and splits.get("vfnet") != self.split:
            self.metrics.show("vfnet", self.split, splits.get("vfnet"))
            self.split = splits.get("vfnet")
            if self.split is not None and "vfnet.2" in self.split.share:
                self.shares.append(self.split.share["vfnet.2"])
        self.metrics.refresh()
        return generate_latest(self.registry)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.split is None:
            return
        share = self.split.share.get("vfnet.2", 0.0) / 100
        live, candidate = self.metrics.of("vfnet"), self.metrics.of("vfnet.2")
        arriving = self.rate * seconds
        for _ in range(round(arriving * (1 - share))):
            live.requested()
            live.answered(0.02, NOTHING)
        if self.is_silent and share:
            self.waiting = 4
            return
        for position in range(round(arriving * share)):
            candidate.requested()
            if position < arriving * share * self.errors:
                candidate.refused(InferenceError("failed"))
            else:
                candidate.answered(self.seconds, NOTHING)
        for _ in range(round(arriving * (1 - share) * self.split.mirror.get("vfnet.2", 0.0) / 100)):
            both = round(10 * self.agreement)
            candidate.compared(self.seconds, Agreement(both, 10 - both, 0))


@contextmanager
def serving(gateway: FakeGateway) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if gateway.is_there else 503)
            self.end_headers()
            self.wfile.write(gateway.text())

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def gateway(tmp_path: Path) -> FakeGateway:
    return FakeGateway(tmp_path / "traffic.toml")


def tried(
    gateway: FakeGateway,
    plan: CanaryPlan = PLAN,
    limits: CanaryLimits = LIMITS,
    meanwhile: Callable[[float], None] = lambda _now: None,
    *,
    hands_back: bool = False,
) -> CanaryResult:
    def sleep(seconds: float) -> None:
        gateway.sleep(seconds)
        meanwhile(gateway.now)

    with serving(gateway) as url:
        return Canary(
            plan, limits, gateways=[url], traffic_file=gateway.file, hands_back=hands_back, sleep=sleep,
            clock=lambda: gateway.now,
        ).run()  # fmt: skip


def test_a_good_one_gets_more_and_more_and_then_all(gateway: FakeGateway) -> None:
    result = tried(gateway)
    assert result.passed
    assert gateway.shares == [0, 10, 25, 50]
    assert read_traffic(gateway.file)["vfnet"].share == {"vfnet.2": 100, "vfnet": 0}
    assert "vfnet.2 now gets all requests for vfnet" in result.reason
    assert 60 < gateway.now < 90


def test_without_promotion_it_keeps_its_first_share(gateway: FakeGateway) -> None:
    result = tried(gateway, replace(PLAN, promote=False, canary=20.0))
    assert result.passed
    assert gateway.shares == [0, 20]
    assert read_traffic(gateway.file)["vfnet"] == TrafficSplit({"vfnet": 80.0, "vfnet.2": 20.0})
    assert "vfnet traffic vfnet.2=100" in result.reason


def test_who_deploys_turns_the_name_itself(gateway: FakeGateway) -> None:
    result = tried(gateway, hands_back=True)
    assert result.passed
    assert gateway.shares == [0, 10, 25, 50]
    assert read_traffic(gateway.file) == {}
    assert gateway.split is None  # and the gateway knows, before the candidate may be unloaded
    assert "has passed its trial" in result.reason


def test_one_that_answers_differently_never_reaches_a_caller(gateway: FakeGateway) -> None:
    gateway.agreement = 0.1
    result = tried(gateway)
    assert not result.passed
    assert gateway.shares == [0]
    assert gateway.now < 30
    assert read_traffic(gateway.file) == {}
    assert "both have 10.0 % of" in result.reason
    assert "as where the classes are in another order" in result.reason


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"errors": 0.2}, "it failed on"),
        ({"seconds": 0.08}, "it is slow"),
        ({"is_silent": True}, "it has answered nothing for"),
    ],
)
def test_one_that_does_worse_goes_back(fault: dict[str, object], told: str, gateway: FakeGateway) -> None:
    change_split(gateway.file, "vfnet", before := TrafficSplit({"vfnet": 100.0}, {}, "x-user"))
    for name, value in fault.items():
        setattr(gateway, name, value)
    result = tried(gateway)
    assert not result.passed
    assert gateway.shares == [0, 10]
    assert gateway.now < 30
    assert told in result.reason
    assert read_traffic(gateway.file) == {"vfnet": before}


def test_one_that_nobody_asks_goes_back(gateway: FakeGateway) -> None:
    gateway.rate = 0
    result = tried(gateway, replace(PLAN, patience=60))
    assert not result.passed
    assert "too little could be said of it: 0 of 20 answers were compared" in result.reason


def test_a_gateway_that_starts_anew_is_no_reason(gateway: FakeGateway) -> None:
    restarts = iter((20.0, 40.0))
    following = next(restarts)

    def meanwhile(now: float) -> None:
        nonlocal following
        gateway.is_there = not following <= now < following + 10
        if now >= following + 10:
            gateway.restart()
            following = next(restarts, float("inf"))

    assert tried(gateway, meanwhile=meanwhile).passed


def test_one_that_cannot_be_watched_goes_back(gateway: FakeGateway) -> None:
    def meanwhile(now: float) -> None:
        gateway.is_there = now < 20

    result = tried(gateway, meanwhile=meanwhile)
    assert "could not be seen for 30 s" in result.reason
    assert read_traffic(gateway.file) == {}


def test_what_somebody_else_writes_is_left_alone(gateway: FakeGateway) -> None:
    other = TrafficSplit({"vfnet": 50.0, "vfnet.3": 50.0})

    def meanwhile(now: float) -> None:
        if now > 20:
            change_split(gateway.file, "vfnet", other)

    result = tried(gateway, meanwhile=meanwhile)
    assert "somebody else has changed the traffic" in result.reason
    assert read_traffic(gateway.file) == {"vfnet": other}


def test_an_interruption_takes_it_back(gateway: FakeGateway) -> None:
    def meanwhile(now: float) -> None:
        if now > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried(gateway, meanwhile=meanwhile)
    assert read_traffic(gateway.file) == {}


def killed(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what a trial leaves that is killed while the candidate has a share."""

    def meanwhile(_now: float) -> None:
        if gateway.shares[-1:] == [10]:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Canary, "_take_back", lambda _: None)
        patch.setattr(Path, "unlink", lambda *_arguments, **_options: None)
        with pytest.raises(SystemExit):
            tried(gateway, meanwhile=meanwhile)
    assert read_traffic(gateway.file)["vfnet"].share["vfnet.2"] == 10


def test_what_a_killed_one_left_is_undone_by_the_next(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    change_split(gateway.file, "vfnet", before := TrafficSplit({"vfnet": 100.0}, {}, "x-user"))
    killed(gateway, monkeypatch)
    gateway.agreement = 0
    assert not tried(gateway).passed
    assert read_traffic(gateway.file) == {"vfnet": before}
    assert list(gateway.file.parent.glob("*.before")) == []


def test_what_was_written_after_a_killed_one_stays(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(gateway, monkeypatch)
    change_split(gateway.file, "vfnet", later := TrafficSplit({"vfnet.3": 50.0, "vfnet": 50.0}))
    with pytest.raises(CommandError, match="is split already"):
        tried(gateway)
    assert read_traffic(gateway.file) == {"vfnet": later}


def test_a_gateway_that_does_not_read_the_file_is_told(gateway: FakeGateway) -> None:
    gateway.takes_up = False
    with pytest.raises(CommandError, match=r"has not taken up .*--traffic-file"):
        tried(gateway)
    assert read_traffic(gateway.file) == {}


def test_it_begins_only_where_one_has_all_the_traffic(gateway: FakeGateway) -> None:
    change_split(gateway.file, "vfnet", TrafficSplit({"vfnet": 50.0, "vfnet.3": 50.0}))
    with pytest.raises(CommandError, match=r"is split already .*vfnet traffic vfnet=100"):
        tried(gateway)
    change_split(gateway.file, "vfnet", TrafficSplit({"vfnet.2": 100.0}))
    with pytest.raises(CommandError, match="has all the traffic"):
        tried(gateway)


def test_two_trials_at_once_are_refused(gateway: FakeGateway) -> None:
    def meanwhile(_now: float) -> None:
        with serving(gateway) as url, pytest.raises(CommandError, match="another trial"):
            Canary(PLAN, LIMITS, gateways=[url], traffic_file=gateway.file).run()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried(gateway, meanwhile=meanwhile)


@pytest.mark.parametrize(
    ("candidate", "is_taken_back"),
    [
        (Evidence(answered=0, failed=2), False),  # too few to say
        (Evidence(answered=0, failed=3), True),
        (Evidence(answered=1000, failed=12), False),  # 1.2 %, of 1 % allowed: not sure
        (Evidence(answered=1000, failed=50), True),
        (Evidence(answered=100, unreadable=20), True),
        (Evidence(compared=100, failed_copies=20), True),
        (Evidence(compared=4, one=40), False),
        (Evidence(compared=10, one=40), True),
        (Evidence(compared=100, both=790, one=210), False),  # 79 % of 80 %: not sure
    ],
)
def test_it_goes_back_when_it_is_sure(candidate: Evidence, is_taken_back: bool) -> None:
    assert (complaint(candidate, Evidence(answered=1000), LIMITS) is not None) == is_taken_back


def test_errors_that_the_live_one_makes_too_are_forgiven() -> None:
    assert complaint(Evidence(answered=800, unreadable=200), Evidence(answered=8000, unreadable=2000), LIMITS) is None


def test_in_the_end_doubt_counts_against_it() -> None:
    doubtful = Evidence(compared=100, both=790, one=210)
    assert complaint(doubtful, Evidence(), LIMITS, is_final=True) is not None


def test_a_quantile_is_interpolated() -> None:
    evidence = Evidence(seconds=((0.1, 10.0), (0.2, 20.0), (float("inf"), 20.0)))
    assert [evidence.quantile(share) for share in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert Evidence().quantile(0.95) == 0


def test_wilsons_bounds() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20, 95 % on two sides.
    assert wilson(81, 263, 1.95996) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20, 1.95996) == pytest.approx((0.0, 0.1611), abs=1e-4)
