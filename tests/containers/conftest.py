"""One deployment of docker-compose.yml, brought up once for the tests of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from container_engine import SCRATCH, Deployment, Engine, Project
from vfnet_client.free_ports import free_ports


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.at_hand()


@pytest.fixture(scope="session")
def checkpoints(engine: Engine) -> Path:  # noqa: ARG001  it says where they may lie
    """A folder of checkpoints that containers can mount and read."""
    folder = Path(os.environ[SCRATCH], "checkpoints")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def images(engine: Engine) -> None:
    """All three are made, as `docker compose up` would."""
    Project(engine, "vfnet-test").compose("build", "build", "triton", "gateway", seconds=900)


@pytest.fixture(scope="session")
def deployment(
    engine: Engine,
    images: None,  # noqa: ARG001  compose starts them
    checkpoints: Path,
) -> Iterator[Deployment]:
    """The CPU profile. Tests may disturb it, and leave it healthy and with the demonstration's checkpoint."""
    score_port, prometheus_port = free_ports(2)
    variables = {
        "SCORE_PORT": str(score_port), "PROMETHEUS_PORT": str(prometheus_port), "CHECKPOINTS": str(checkpoints),
        "VFNET_SERVE_MAX_WAITING": "37", "VFNET_GATEWAY_MAX_IMAGES": "5",
    }  # fmt: skip
    project = Project(engine, "vfnet-test", variables)
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{score_port}", timeout=120, trust_env=False) as gateway,
        httpx.Client(base_url=f"http://127.0.0.1:{prometheus_port}", timeout=30, trust_env=False) as prometheus,
    ):
        made = Deployment(project, gateway, prometheus)
        try:
            made.up()
            yield made
        finally:
            logs = project.compose("logs", "--no-color", "--timestamps")
            Path(os.environ[SCRATCH], "containers.log").write_text(logs)
            project.compose("down", "--volumes", seconds=300)
            left = project.left()
        assert left == "", "docker compose down -v leaves something"
