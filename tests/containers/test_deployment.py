"""What README and docs/containers.md promise of `docker compose up`, asked of one that runs."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from browser_page import SAMPLE, Visit, picture, running_browser
from container_engine import ROOT, STARTED, Deployment, Engine, Project
from score_requests import GOOD, post, score
from synthetic_checkpoint import write_synthetic_checkpoint
from vfnet_client import VFNetClient
from waiting import eventually

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
PANELS = json.loads((ROOT / "build/docker/grafana/dashboards/vfnet.json").read_text())["panels"]
IMAGE = base64.b64encode(SAMPLE.read_bytes()).decode()


_COMPLAINT = r"Traceback|telemetry|Permission denied|Read-only"


def statuses(deployment: Deployment) -> dict[str, str]:
    return {name: deployment.project.inspect(name)["State"]["Health"]["Status"] for name in STARTED}


def boxes(deployment: Deployment) -> list[object]:
    """What the served network finds in the sample."""
    (answer,) = score(deployment.gateway, [IMAGE]).raise_for_status().json()
    found: list[object] = answer["boxes"]
    return found


def test_every_service_is_healthy(deployment: Deployment) -> None:
    assert set(statuses(deployment).values()) == {"healthy"}
    assert deployment.project.inspect("build")["State"]["ExitCode"] == 0


def test_score_detects(deployment: Deployment) -> None:
    answers = score(deployment.gateway, [IMAGE, IMAGE]).raise_for_status().json()
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert max(box["score"] for box in answers[0]["boxes"]) > 0.5


def test_kserve_clients_detect_through_the_gateway(deployment: Deployment) -> None:
    assert deployment.gateway.get("/v2/health/ready").status_code == 200
    with VFNetClient(deployment.address) as client:
        assert max(box.score for box in client.detect(SAMPLE).boxes) > 0.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


def test_the_page_detects_in_a_browser(deployment: Deployment, browser: Browser) -> None:
    visit = Visit(browser.new_page())
    visit.listen()
    visit.page.goto(f"{deployment.address}/ui", wait_until="networkidle")
    visit.add(picture("strip.png"))
    visit.wait_for("done")
    assert visit.complaints == []
    assert visit.refused == []


def test_settings_come_from_the_environment(deployment: Deployment) -> None:
    """VFNET_SERVE_MAX_WAITING=37 and VFNET_GATEWAY_MAX_IMAGES=5, as the deployment was started with."""
    assert "--max-waiting 37" in deployment.project.compose("logs", "triton")
    assert score(deployment.gateway, [GOOD] * 6).status_code == 413


def test_only_the_gateway_and_prometheus_are_published_and_only_here(deployment: Deployment) -> None:
    for service in STARTED:
        bindings = deployment.project.inspect(service)["NetworkSettings"]["Ports"]
        hosts = {each["HostIp"] for published in bindings.values() for each in published or []}
        assert hosts == (set() if service == "triton" else {"127.0.0.1"})


def test_triton_reaches_nothing_and_is_reached_from_the_inner_network_only(deployment: Deployment) -> None:
    networks = deployment.project.inspect("triton")["NetworkSettings"]["Networks"]
    assert networks.keys() == {f"{deployment.project.name}_inner"}
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
    reached = deployment.project.compose(
        "exec", "-T", "triton", "sh", "-c", f'python -c "{probe}" 2>/dev/null && echo reached || echo none'
    )
    assert reached.strip() == "none"


def test_prometheus_finds_both(deployment: Deployment) -> None:
    found = deployment.query("up")
    assert {(each["metric"]["job"], each["value"][1]) for each in found} == {("triton", "1"), ("gateway", "1")}  # type: ignore[index]


def test_every_panel_of_the_dashboard_finds_what_it_draws(deployment: Deployment) -> None:
    """Grafana's own image cannot be had without a registry; its queries are Prometheus' to answer."""
    queries = {(panel["title"], target["expr"].replace("$__rate_interval", "1m"))
               for panel in PANELS for target in panel["targets"]}  # fmt: skip
    # There is no GPU here, and no split of the traffic.
    here = {each for each in queries if not re.search("nv_gpu|_deployment_|_traffic_|_agreement_", each[1])}
    assert len(here) >= 15

    def silent() -> set[tuple[str, str]]:
        score(deployment.gateway, [GOOD])
        score(deployment.gateway, ["no image"])
        post(deployment.gateway, b"no JSON")
        return {each for each in here if not deployment.query(each[1])}

    assert eventually(lambda: not silent(), seconds=120), silent()  # the rules are evaluated each half minute


def test_alerts_are_understood_and_ring_when_they_should(deployment: Deployment) -> None:
    run = ("run", "--rm", "--no-deps", "-T", "--volume", f"{ROOT}/tests/containers:/rule_tests:ro")
    promtool = (*run, "--entrypoint", "promtool", "prometheus")
    assert "SUCCESS" in deployment.project.compose(*promtool, "check", "config", "/etc/prometheus/prometheus.yml")
    for name in ("alerts_test.yml", "service_levels_test.yml"):
        assert "SUCCESS" in deployment.project.compose(*promtool, "test", "rules", f"/rule_tests/{name}")
    rules = {alert["name"] for group in deployment.prometheus.get("/api/v1/rules").json()["data"]["groups"]
             for alert in group["rules"] if alert["health"] == "ok"}  # fmt: skip
    files = (ROOT / "build/docker/prometheus").glob("*.yml")
    assert rules == {name for path in files for name in re.findall(r"- (?:alert|record): (\S+)", path.read_text())}


def test_nobody_is_root_and_nothing_can_be_gained(deployment: Deployment) -> None:
    for service in STARTED:
        processes = deployment.project.compose(
            "exec", "-T", service, "sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null || true"
        )
        assert set(re.findall(r"^Uid:\t(\d+)", processes, re.MULTILINE)) & {"0"} == set(), service
        assert set(re.findall(r"^Cap(?:Eff|Prm|Bnd):\t(\w+)", processes, re.MULTILINE)) == {"0" * 16}, service
        assert set(re.findall(r"^NoNewPrivs:\t(\d)", processes, re.MULTILINE)) == {"1"}, service


def test_nothing_but_the_volumes_is_written(deployment: Deployment) -> None:
    score(deployment.gateway, [GOOD]).raise_for_status()
    for service in STARTED:
        described = deployment.project.inspect(service)
        assert described["HostConfig"]["ReadonlyRootfs"] is True
        mounts = {mount["Destination"] for mount in described["Mounts"]} | {"/tmp"}
        changed = deployment.project.engine.docker("diff", described["Id"]).split()[1::2]
        # What is mounted has a place made for it.
        assert all(any(mount.startswith(path) for mount in mounts) for path in changed), (service, changed)
        writable = {mount["Destination"] for mount in described["Mounts"] if mount["RW"]}
        assert writable == {"triton": {"/cache"}, "gateway": {"/captured"}, "prometheus": {"/prometheus"}}[service]


def test_the_logs_complain_of_nothing(deployment: Deployment) -> None:
    logs = deployment.project.compose("logs", "--no-color", "build", "triton", "gateway")
    complaints = [line for line in logs.splitlines() if re.search(_COMPLAINT, line)]
    assert complaints == []


def test_a_health_check_costs_next_to_nothing(deployment: Deployment) -> None:
    for service in ("triton", "gateway"):
        check = " ".join(deployment.project.inspect(service)["Config"]["Healthcheck"]["Test"][1:])
        timed = deployment.project.compose("exec", "-T", service, "bash", "-c", f"{{ time -p {check}; }} 2>&1")
        seconds = sum(float(each) for each in re.findall(r"^(?:user|sys) ([\d.]+)", timed, re.MULTILINE))
        assert seconds < 0.1, timed


@pytest.mark.parametrize("service", ["triton", "gateway"])
def test_what_is_killed_comes_back(deployment: Deployment, service: str) -> None:
    before = deployment.project.inspect(service)
    deployment.project.kill(service)
    started = time.monotonic()
    if service == "triton":  # the gateway asks again until there is an answer
        assert score(deployment.gateway, [GOOD]).status_code == 200

    def is_back() -> bool:
        after = deployment.project.inspect(service)
        try:
            answers = score(deployment.gateway, [GOOD]).status_code == 200
        except httpx.TransportError:
            answers = False
        return bool(answers and after["RestartCount"] > before["RestartCount"] and after["State"]["Running"])

    assert eventually(is_back, seconds=60)
    print(f"{service}: answers {time.monotonic() - started:.1f} s after its death")
    assert eventually(lambda: statuses(deployment)[service] == "healthy", seconds=60)


def test_another_checkpoint_is_served_after_up(deployment: Deployment, checkpoints: Path) -> None:
    demonstration = boxes(deployment)
    write_synthetic_checkpoint(checkpoints / "other.pth", talkative=1.6)
    (checkpoints / "other.pth").chmod(0o644)
    deployment.up(CHECKPOINT="/checkpoints/other.pth")
    assert eventually(lambda: boxes(deployment) != demonstration, seconds=60)
    deployment.up()
    assert eventually(lambda: boxes(deployment) == demonstration, seconds=60)


def test_an_upgrade_keeps_the_volumes(deployment: Deployment) -> None:
    """Another image: its containers are made anew, what was built, compiled and measured stays."""
    script = "ls -l --time-style=full-iso /repository/vfnet/vfnet_build.json; ls /cache"
    listed = ("exec", "-T", "triton", "sh", "-c", script)
    kept, began = deployment.project.compose(*listed), time.time()
    assert eventually(lambda: bool(deployment.query("nv_inference_count")), seconds=30)
    containers = {name: deployment.project.container(name) for name in ("triton", "gateway")}
    deployment.up(VFNET_REVISION="the-next")
    for name, container in containers.items():
        assert deployment.project.container(name) != container
        assert deployment.project.inspect(name)["Config"]["Labels"]["org.opencontainers.image.revision"] == "the-next"
    assert deployment.project.compose(*listed) == kept
    assert deployment.query(f"nv_inference_count @ {began:.0f}")
    assert score(deployment.gateway, [GOOD]).status_code == 200
    deployment.up()


def test_down_with_volumes_leaves_nothing(engine: Engine, deployment: Deployment) -> None:
    other = Project(engine, "vfnet-gone", deployment.project.variables)
    other.compose("up", "--detach", "build", "--no-build")
    assert other.left() != ""
    other.compose("down", "--volumes")
    assert other.left() == ""


def test_a_build_that_fails_says_why_and_starts_nothing(engine: Engine, deployment: Deployment) -> None:
    other = Project(engine, "vfnet-fails", deployment.project.variables)
    try:
        with pytest.raises(pytest.fail.Exception, match=r"didn't complete successfully|exit 1"):
            other.compose("up", "--detach", "--wait", "--no-build", "triton", CHECKPOINT="/checkpoints/none.pth")
        assert "/checkpoints/none.pth" in other.compose("logs", "build")
        assert "Traceback" not in other.compose("logs", "build")
    finally:
        other.compose("down", "--volumes")


def test_the_gpu_image_is_made_but_for_its_base(engine: Engine) -> None:
    """Every line of Dockerfile.gpu on a Debian in NVIDIA's place: gigabytes, so that only who asks gets it."""
    if "VFNET_TEST_GPU_IMAGE" not in os.environ:
        pytest.skip("VFNET_TEST_GPU_IMAGE=1 has it made")
    tag = f"TRITON_TAG={os.environ['TRITON_TAG']}"
    options = ("--tag=vfnet-gpu:test", f"--build-arg={tag}", "--file=build/docker/Dockerfile.gpu")
    engine.docker("build", *options, ".", seconds=1800)
    run = ("run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "vfnet-gpu:test")
    assert "--engine" in engine.docker(*run, "build", "--help")
    assert engine.inspect("vfnet-gpu:test", "image")["Config"]["User"] == "1000:1000"
