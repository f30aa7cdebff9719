"""Docker and Docker Compose, at the engine that tests/containers/run.sh found or made."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "containers" / "engine.sh"
SCRATCH = "VFNET_TEST_CONTAINERS"
"""The variable that run.sh sets: a folder that containers can mount."""


STARTED = ("triton", "gateway", "prometheus")
"""Grafana's image cannot be had without a registry: its dashboard is tested through Prometheus. `build` comes along."""


@dataclass(frozen=True)
class Engine:
    """Runs commands beside the engine, in the checkout."""

    prefix: tuple[str, ...]

    @classmethod
    def at_hand(cls) -> Engine:
        """Skips the test where run.sh has not been asked."""
        if SCRATCH not in os.environ:
            pytest.skip("`make test-containers` runs these")
        made = os.environ.get("VFNET_TEST_ENGINE")
        return cls((str(SCRIPT), "run", made) if made else ())

    def run(
        self, *command: str, given: str | None = None, variables: Mapping[str, str] | None = None, seconds: float = 120
    ) -> str:
        """What it printed. A test fails with all of it where it does not succeed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VFNET_")}
        outcome = subprocess.run(
            [*self.prefix, *command], cwd=ROOT, env=environment | dict(variables or {}), input=given, timeout=seconds,
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if outcome.returncode != 0:
            pytest.fail(f"{' '.join(command)}: {outcome.returncode}\n{outcome.stdout}\n{outcome.stderr}"[-6000:])
        return outcome.stdout

    def docker(self, *arguments: str, **how: Any) -> str:
        """As `run`."""
        return self.run("docker", *arguments, **how)

    def inspect(self, name: str, kind: str = "container") -> dict[str, Any]:
        """What the engine knows of it."""
        (described,) = json.loads(self.docker(kind, "inspect", name))
        assert isinstance(described, dict)
        return described


@dataclass(frozen=True)
class Project:
    """docker-compose.yml of this checkout under a name of its own, with these variables."""

    engine: Engine
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, seconds: float = 120, **more: str) -> str:
        """`docker compose`, with `more` variables."""
        command = ("docker", "compose", "--project-name", self.name, *arguments)
        return self.engine.run(*command, variables={**self.variables, **more}, seconds=seconds)

    def container(self, service: str) -> str:
        """Its id."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of its container."""
        return self.engine.inspect(self.container(service))

    def kill(self, service: str) -> None:
        """SIGKILL for its first process, as from the kernel's memory killer: `docker kill` would be somebody's wish."""
        self.engine.run("sh", "-c", f"kill -KILL {self.inspect(service)['State']['Pid']}")

    def left(self) -> str:
        """Containers, volumes and networks of the project."""
        label = f"label=com.docker.compose.project={self.name}"
        listed = ("ps --all", "volume ls", "network ls")
        return "".join(self.engine.docker(*what.split(), "--quiet", "--filter", label) for what in listed)


@dataclass(frozen=True)
class Deployment:
    """What `docker compose up` has started."""

    project: Project
    gateway: httpx.Client
    prometheus: httpx.Client

    @property
    def address(self) -> str:
        """Of the gateway."""
        return str(self.gateway.base_url)

    def up(self, **variables: str) -> None:
        """`docker compose up` again, which leaves alone what is as it should be, until all are healthy."""
        self.project.compose("up", "--detach", "--wait", *STARTED, seconds=900, **variables)

    def query(self, expression: str) -> list[dict[str, object]]:
        """Prometheus' answer."""
        answer = self.prometheus.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, object]] = answer["data"]["result"]
        return found
