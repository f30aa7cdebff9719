"""Steps of docs/runbook.md that are done with docker compose, each of them done."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import httpx
import pytest
import yaml

from container_engine import ROOT, SCRATCH, Deployment
from score_requests import GOOD, score
from waiting import eventually

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


def answers(deployment: Deployment) -> bool:
    try:
        return score(deployment.gateway, [GOOD]).status_code == 200
    except httpx.TransportError:
        return False


def test_the_logs_of_both_are_at_hand(deployment: Deployment) -> None:
    refused = score(deployment.gateway, ["no image"])
    assert refused.status_code == 422
    logs = deployment.project.compose("logs", "triton", "gateway")
    assert refused.headers["x-request-id"] in logs
    assert "ready after" in logs
    assert "healthy" in deployment.project.compose("ps")


def test_a_changed_objective_is_read_again_by_sighup(deployment: Deployment) -> None:
    """The rules are a folder of the checkout's, mounted; here a copy of it is."""
    rules = Path(os.environ[SCRATCH], "prometheus")
    shutil.copytree(ROOT / "build" / "docker" / "prometheus", rules)
    rules.chmod(0o755)
    override = Path(os.environ[SCRATCH], "rules.yml")
    override.write_text(yaml.safe_dump({"services": {"prometheus": {"volumes": [f"{rules}:/etc/prometheus:ro"]}}}))
    compose = ("--file", "docker-compose.yml", "--file", str(override))
    deployment.project.compose(*compose, "up", "--detach", "--wait", "--no-deps", "prometheus", seconds=300)

    def promised() -> str:
        (found,) = deployment.query("vfnet:objective:seconds")
        return f"{found['metric']['le']} {found['value'][1]}"  # type: ignore[index]

    assert eventually(lambda: bool(deployment.query("vfnet:objective:seconds")), seconds=90)
    before = promised()
    document = yaml.safe_load((rules / "objectives.yml").read_text())
    for rule in document["groups"][0]["rules"]:
        if rule["record"] == "vfnet:objective:seconds":
            rule["expr"], rule["labels"] = "vector(2)", {"le": "2.0"}
    (rules / "objectives.yml").write_text(yaml.safe_dump(document))
    deployment.project.compose(*compose, "kill", "--signal", "SIGHUP", "prometheus")
    assert eventually(lambda: any(
        each["metric"]["le"] == "2.0" for each in deployment.query("vfnet:objective:seconds")  # type: ignore[index]
    ), seconds=90), before  # fmt: skip
    deployment.up()


def test_a_gateway_that_hangs_is_started_again(deployment: Deployment) -> None:
    """It would take the 90 s of `stop_grace_period` without the option: it does not hear that it is to stop."""
    before = deployment.project.inspect("gateway")["State"]
    first = before["Pid"]
    deployment.project.engine.run("sh", "-c", f"kill -STOP {first} $(cat /proc/{first}/task/{first}/children)")
    with pytest.raises(httpx.TimeoutException):
        deployment.gateway.get("/livez", timeout=3)
    began = time.monotonic()
    deployment.project.compose("restart", "--timeout", "2", "--no-deps", "gateway")
    assert eventually(lambda: answers(deployment), seconds=60)
    assert time.monotonic() - began < 60
    assert deployment.project.inspect("gateway")["State"]["StartedAt"] != before["StartedAt"]
