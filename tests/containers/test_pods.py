"""The pods that helm makes of the chart, run by podman: all of Kubernetes that there is without a cluster.

What only a cluster does is done here by hand: a name with the addresses of all servers, probes, and a rollout's order.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import yaml

from container_engine import Engine
from helm_chart import Manifest, of_kind, render
from score_requests import GOOD, score
from vfnet_client.free_ports import free_ports
from waiting import eventually

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
NETWORK = "vfnet-pods"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
"""Podman would ask them with curl, which the images do not have; the tests ask the same addresses."""


@dataclass
class Pods:
    """Pods of one release, in a network of their own."""

    engine: Engine
    manifests: list[Manifest]
    port: int
    names: list[str] = field(default_factory=list)

    def podman(self, *arguments: str, given: str | None = None, seconds: float = 300) -> str:
        """Without systemd there are no timers for health checks."""
        quiet = ("env", "DISABLE_HC_SYSTEMD=true", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "podman")
        return self.engine.run(*quiet, *arguments, given=given, seconds=seconds)

    def start(self, component: str, name: str, *options: str) -> None:
        """One pod of a Deployment, by the name of its Service in the network."""
        deployment = of_kind(self.manifests, "Deployment", f"-{component}")
        template = deployment["spec"]["template"]
        spec: dict[str, Any] = {
            key: value for key, value in template["spec"].items() if key != "topologySpreadConstraints"
        }
        spec["containers"] = [{key: value for key, value in each.items() if key not in PROBES}
                              for each in spec["containers"]]  # fmt: skip
        for volume in spec["volumes"]:
            volume.get("secret", {}).pop(
                "defaultMode", None
            )  # readable by the group that fsGroup names, which podman lacks
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}, "spec": spec}
        mounted = [each for each in self.manifests if each["kind"] == "Secret" and component == "gateway"]
        network = f"--network={NETWORK}:alias={deployment['metadata']['name']}"
        given = yaml.safe_dump_all([*mounted, pod])
        self.podman("kube", "play", network, *options, "-", given=given)
        self.names.append(name)

    def probe(self, component: str, name: str, probe: str) -> bool:
        """What the kubelet would ask."""
        (container,) = of_kind(self.manifests, "Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"]
        asked = container[probe]["httpGet"]
        port = next(each["containerPort"] for each in container["ports"] if each["name"] == asked["port"])
        script = f"http_health {port} {asked['path']} >/dev/null 2>&1 && echo yes || echo no"
        return self.podman("exec", f"{name}-{container['name']}", "bash", "-c", script).strip() == "yes"

    def stop(self, name: str) -> None:
        """As the kubelet: SIGTERM, then SIGKILL after the grace period of the pod."""
        self.podman("pod", "stop", name)
        self.podman("pod", "rm", name)
        self.names.remove(name)


@pytest.fixture(scope="module")
def pods(engine: Engine, images: None) -> Iterator[Pods]:  # noqa: ARG001  which has built the images
    if "VFNET_TEST_PODS" not in os.environ:
        pytest.skip("VFNET_TEST_PODS=1 has podman run them")
    options = ("--set=image.pullPolicy=Never", "--set=server.drainSeconds=3", "--set=server.resources=null")
    (port,) = free_ports(1)
    started = Pods(engine, render(*options), port)
    # Beside Docker, which drops what it does not know, pods reach each other by rules of the same firewall only.
    # Debian 13 has no pause image's program, and its crun refuses cgroups of both versions side by side.
    pause = f'FROM python:{os.environ["PYTHON_TAG"]}\nENTRYPOINT ["sleep", "infinity"]\n'
    engine.docker("build", "--quiet", "--tag=vfnet-pause:0.1.0", "-", given=pause)
    written = (
        '[engine]\ninfra_image = "docker.io/library/vfnet-pause:0.1.0"\nruntime = "runc"\n'
        '[network]\nfirewall_driver = "iptables"\n'
    )
    engine.run("sh", "-c", "mkdir -p /etc/containers && cat > /etc/containers/containers.conf", given=written)
    for image in ("pause", "build", "serve", "gateway"):
        started.podman("pull", "--quiet", f"docker-daemon:vfnet-{image}:0.1.0", seconds=600)
    started.podman("network", "create", "--ignore", NETWORK)
    try:
        for name in ("server-1", "server-2"):
            started.start("server", name)
        started.start("gateway", "gateway-1", f"--publish=127.0.0.1:{port}:5001")
        assert eventually(lambda: started.probe("gateway", "gateway-1", "startupProbe"), seconds=120)
        yield started
    finally:
        for name in started.names:
            print(started.podman("pod", "logs", "--tail=30", name))
        started.podman("pod", "rm", "--force", "--all", "--time=5")
        started.podman("volume", "prune", "--force")
        started.podman("network", "rm", "--force", NETWORK)


@pytest.fixture
def caller(pods: Pods) -> Iterator[httpx.Client]:
    """With the key of the chart's secret."""
    key = base64.b64decode(of_kind(pods.manifests, "Secret")["data"]["keys"]).decode()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{pods.port}", headers=headers, timeout=90, trust_env=False) as client:
        yield client


def test_pods_of_the_chart_answer_who_has_the_key(pods: Pods, caller: httpx.Client) -> None:
    assert score(caller, [GOOD, GOOD]).status_code == 200
    with httpx.Client(base_url=caller.base_url, timeout=30, trust_env=False) as stranger:
        assert score(stranger, [GOOD]).status_code == 401
    for component, name in (("server", "server-1"), ("server", "server-2"), ("gateway", "gateway-1")):
        for probe in PROBES:
            assert eventually(lambda: pods.probe(component, name, probe), seconds=60), (name, probe)  # noqa: B023


def test_servers_are_replaced_under_load_and_no_request_fails(pods: Pods, caller: httpx.Client) -> None:
    """As a rollout with maxSurge 1 and maxUnavailable 0: a new one is ready before an old one is told to go."""
    is_over, answers = threading.Event(), list[tuple[int, float]]()

    def ask() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            status = score(caller, [GOOD]).status_code
            answers.append((status, time.monotonic() - began))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for each in callers:
        each.start()
    try:
        for old, new in (("server-1", "server-3"), ("server-2", "server-4")):
            pods.start("server", new)
            assert eventually(lambda: pods.probe("server", new, "readinessProbe"), seconds=120)  # noqa: B023
            pods.stop(old)
    finally:
        is_over.set()
        for each in callers:
            each.join()
    failed = [status for status, _ in answers if status != 200]
    slowest = max(seconds for _, seconds in answers)
    print(f"rolling replacement: {len(answers)} requests, {len(failed)} failed, the slowest took {slowest:.2f} s")
    assert len(answers) > 100
    assert failed == []
