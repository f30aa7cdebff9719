"""What the page asks the gateway for."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gateway_process import running_gateway
from score_requests import GOOD, score
from triton_server import ServedRepository

pytestmark = pytest.mark.served

STAGES = ["vfnet_preprocess", "vfnet_detector", "vfnet_postprocess"]


def test_stages_tell_what_happened_between_two_answers(client: httpx.Client) -> None:
    before = client.get("/ui/stages").json()
    assert score(client, [GOOD] * 3).status_code == 200
    after = client.get("/ui/stages").json()
    assert list(after) == STAGES
    for model in STAGES:
        assert after[model]["count"] - before[model]["count"] == 3
        assert after[model]["compute_ns"] > before[model]["compute_ns"]
        assert after[model]["queue_ns"] >= before[model]["queue_ns"]


def test_info_tells_what_is_served(server: ServedRepository, tmp_path: Path) -> None:
    manifest = server.repository / "vfnet_build.json"
    options = (f"--manifest={manifest}", "--timeout=7", "--max-body-bytes=1000")
    with running_gateway(server.grpc_url, tmp_path, *options) as gateway, gateway.client() as client:
        info = client.get("/ui/info").json()
    assert info["classes"] == (server.repository / "vfnet" / "labels.txt").read_text().splitlines()
    assert isinstance(info["checkpoint"], str)
    assert 0 < info["score_threshold"] < 1
    assert info["max_per_img"] == 100
    assert (info["limits"]["timeout_s"], info["limits"]["max_body_bytes"]) == (7, 1000)


def test_info_without_a_manifest_leaves_out_what_triton_does_not_know(client: httpx.Client) -> None:
    info = client.get("/ui/info").json()
    assert info["classes"] is info["checkpoint"] is info["untrained"] is None


def test_the_page_is_there(client: httpx.Client) -> None:
    page = client.get("/ui", follow_redirects=True)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "content-security-policy" in page.headers


def test_metrics_count_requests_images_and_refusals(client: httpx.Client) -> None:
    assert score(client, [GOOD, "?"]).status_code == 422
    assert client.post("/score", content=b"{}").status_code == 415
    samples = client.get("/metrics").text.splitlines()
    names = {sample.partition(" ")[0] for sample in samples if not sample.startswith("#")}
    for name in (
        'vfnet_gateway_requests_total{method="POST",route="/score",status="422"}',
        'vfnet_gateway_images_total{outcome="detected"}',
        'vfnet_gateway_images_total{outcome="unreadable"}',
        'vfnet_gateway_refusals_total{reason="not_json"}',
        "vfnet_gateway_images_in_flight",
        "vfnet_gateway_requests_in_flight",
        'vfnet_gateway_request_seconds_bucket{le="+Inf",route="/score"}',
        'vfnet_gateway_stage_seconds_count{stage="inference"}',
    ):
        assert name in names
