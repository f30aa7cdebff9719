"""What the service levels are counted by, at a gateway and a server that run."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from gateway_process import RunningGateway
from score_requests import GOOD, post, score, table
from vfnet_client import VFNetClient
from vfnet_gateway.admission import Priority
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.service_levels import outcome_of
from vfnet_runtime.latency_buckets import SECONDS

BATCH = {"x-vfnet-priority": "batch"}
_SAMPLE = re.compile(r'^vfnet_gateway_detections_total\{outcome="(\w+)",priority="(\w+)"\} (\S+)$', re.MULTILINE)
_STAGE = re.compile(r'^vfnet_gateway_stage_seconds_count\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_BUCKET = re.compile(r'^vfnet_gateway_image_seconds_bucket\{le="(\S+)",priority="interactive"\} (\S+)$', re.MULTILINE)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "answered"), (422, "answered"), (429, "busy"), (499, "left"), (400, "mistaken"), (413, "mistaken"),
     (500, "failed"), (503, "failed"), (504, "failed")],
)  # fmt: skip
def test_the_status_says_what_became_of_a_request(status: int, outcome: str) -> None:
    assert outcome_of(RequestRecord("id", priority=Priority.INTERACTIVE), status) == outcome


def test_an_image_that_ends_the_model_is_our_fault() -> None:
    """Although its caller gets the 422 or 400 of one that cannot be read."""
    record = RequestRecord("id", priority=Priority.INTERACTIVE, has_failed_images=True)
    assert outcome_of(record, 422) == outcome_of(record, 400) == "failed"


def outcomes(client: httpx.Client) -> dict[tuple[str, str], float]:
    """Requests so far, by priority and outcome."""
    return {(priority, outcome): float(count) for outcome, priority, count in
            _SAMPLE.findall(client.get("/metrics").text)}  # fmt: skip


@pytest.mark.served
def test_requests_that_detect_are_counted_by_priority_and_outcome(
    gateway: RunningGateway, client: httpx.Client
) -> None:
    before = outcomes(client)
    assert len(before) == 10  # all of them, before there is anything to count
    score(client, [GOOD])
    post(client, {"input_data": table([GOOD])}, headers=BATCH)
    score(client, [GOOD, "?"])
    post(client, b"{")
    client.get("/health")
    client.post("/v2/models/vfnet/infer", content=b"{}")
    with VFNetClient(gateway.grpc_address) as grpc:
        grpc.detect(np.zeros((32, 32, 3), np.uint8))
    after = outcomes(client)
    assert {key: after[key] - before[key] for key in after if after[key] != before[key]} == {
        ("interactive", "answered"): 3,
        ("interactive", "mistaken"): 2,
        ("batch", "answered"): 1,
    }


def stage_counts(client: httpx.Client) -> dict[str, float]:
    return {stage: float(count) for stage, count in _STAGE.findall(client.get("/metrics").text)}


@pytest.mark.served
def test_what_each_image_waits_for_is_a_stage_of_its_own(gateway: RunningGateway, client: httpx.Client) -> None:
    """Also of an image that is not answered, and of one asked for over gRPC; a request's stages are counted once."""
    before = stage_counts(client)
    assert before.keys() >= {"fetch", "wait", "triton"}  # before there is anything to count
    assert score(client, [GOOD, GOOD, "http://127.0.0.1/not-allowed.png"]).status_code == 422
    with VFNetClient(gateway.grpc_address) as grpc:
        grpc.detect(np.zeros((32, 32, 3), np.uint8))
    after = stage_counts(client)
    assert {stage: count - before.get(stage, 0) for stage, count in after.items()} == {
        "fetch": 1, "wait": 3, "triton": 3, "read": 2, "parse": 2, "inference": 2, "write": 2,
    }  # fmt: skip


def quantile(share: float, cumulative: list[tuple[float, float]]) -> float:
    """As Prometheus' `histogram_quantile` makes it of bounds and counts up to them."""
    wanted = share * cumulative[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in cumulative:
        if count >= wanted:
            return below if math.isinf(bound) else below + (bound - below) * (wanted - counted) / (count - counted)
        below, counted = bound, count
    raise AssertionError(cumulative)


def buckets(client: httpx.Client) -> list[tuple[float, float]]:
    return [(float(bound), float(count)) for bound, count in _BUCKET.findall(client.get("/metrics").text)]


@pytest.mark.served
def test_quantiles_are_those_of_the_requests_themselves(client: httpx.Client) -> None:
    """To a bucket: each answer says by `Server-Timing` how long its inference took, to the microsecond."""
    before, exact = buckets(client), list[float]()
    with ThreadPoolExecutor(4) as others:
        for position in range(80):  # alone, and beside others
            beside = [others.submit(score, client, [GOOD]) for _ in range(0 if position < 40 else 3)]
            for reply in (score(client, [GOOD]), *(each.result() for each in beside)):
                timing = re.search(r"inference;dur=([\d.]+)", reply.headers["server-timing"])
                assert timing is not None
                exact.append(float(timing[1]) / 1000)
    counted = [(bound, count - earlier) for (bound, count), (_, earlier) in zip(buckets(client), before, strict=True)]
    assert counted[-1][1] == len(exact) == 200
    for share in (0.5, 0.9, 0.95, 0.99):
        told, true = quantile(share, counted), sorted(exact)[math.ceil(share * len(exact)) - 1]
        assert abs(bisect_left(SECONDS, told) - bisect_left(SECONDS, true)) <= 1, (share, told, true)
