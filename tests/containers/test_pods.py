"""The pods that helm makes of the chart, run by podman: all of Kubernetes that there is without a cluster.

What only a cluster does is done here by hand: a name with the addresses of all servers, probes, and a rollout's order.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

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
    options = (
        "--set=image.pullPolicy=Never",
        "--set=server.drainSeconds=3,gateway.drainSeconds=3",
        "--set=server.resources=null",
    )
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


def caller_of(pods: Pods, port: int) -> httpx.Client:
    """Of the gateway there, with the key of the chart's secret."""
    key = base64.b64decode(of_kind(pods.manifests, "Secret")["data"]["keys"]).decode()
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90, trust_env=False)


@pytest.fixture
def caller(pods: Pods) -> Iterator[httpx.Client]:
    with caller_of(pods, pods.port) as client:
        yield client


def test_pods_of_the_chart_answer_who_has_the_key(pods: Pods, caller: httpx.Client) -> None:
    assert score(caller, [GOOD, GOOD]).status_code == 200
    with httpx.Client(base_url=caller.base_url, timeout=30, trust_env=False) as stranger:
        assert score(stranger, [GOOD]).status_code == 401
    for component, name in (("server", "server-1"), ("server", "server-2"), ("gateway", "gateway-1")):
        for probe in PROBES:
            assert eventually(lambda: pods.probe(component, name, probe), seconds=60), (name, probe)  # noqa: B023


class Load:
    """A context: three callers who ask one after another, and try nothing twice."""

    def __init__(self, choose: Callable[[], httpx.Client]) -> None:
        """`choose` says whom each request goes to."""
        self.failures: list[str] = []
        self._choose, self._seconds, self._is_over = choose, list[float](), threading.Event()
        self._callers = [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self) -> Self:
        for each in self._callers:
            each.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for each in self._callers:
            each.join()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                answer = score(self._choose(), [GOOD])
                outcome = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
            except httpx.HTTPError as error:
                outcome = repr(error)
            self._seconds.append(time.monotonic() - began)
            if outcome:
                self.failures.append(outcome)

    def check(self, what: str) -> None:
        """None failed, of many."""
        slowest = max(self._seconds)
        print(f"{what}: {len(self._seconds)} requests, {len(self.failures)} failed, the slowest took {slowest:.2f} s")
        assert len(self._seconds) > 100
        assert self.failures == []


def test_servers_are_replaced_under_load_and_no_request_fails(pods: Pods, caller: httpx.Client) -> None:
    """As a rollout with maxSurge 1 and maxUnavailable 0: a new one is ready before an old one is told to go."""
    with Load(lambda: caller) as load:
        for old, new in (("server-1", "server-3"), ("server-2", "server-4")):
            began = time.monotonic()
            pods.start("server", new)
            assert eventually(lambda: pods.probe("server", new, "readinessProbe"), seconds=120)  # noqa: B023
            print(f"{new} was ready after {time.monotonic() - began:.1f} s, of which its build is part")
            pods.stop(old)
    load.check("rolling replacement of servers")


def test_gateways_are_replaced_under_load_and_no_request_fails(pods: Pods) -> None:
    """As a rollout behind a Service, which sends requests to who is ready, and learns late of who is to go."""
    (second, *new_ports) = free_ports(3)
    pods.start("gateway", "gateway-2", f"--publish=127.0.0.1:{second}:5001")
    assert eventually(lambda: pods.probe("gateway", "gateway-2", "readinessProbe"), seconds=60)
    with contextlib.ExitStack() as closed:
        clients = {name: closed.enter_context(caller_of(pods, port))
                   for name, port in (("gateway-1", pods.port), ("gateway-2", second))}  # fmt: skip
        in_service = dict(clients)
        with Load(lambda: random.choice(list(in_service.values()))) as load:
            for old, new, port in (("gateway-1", "gateway-3", new_ports[0]), ("gateway-2", "gateway-4", new_ports[1])):
                pods.start("gateway", new, f"--publish=127.0.0.1:{port}:5001")
                assert eventually(lambda: pods.probe("gateway", new, "readinessProbe"), seconds=60)  # noqa: B023
                in_service[new] = closed.enter_context(caller_of(pods, port))
                leaves = threading.Timer(1.0, in_service.pop, [old])  # from SIGTERM on; well within drainSeconds
                leaves.start()
                pods.stop(old)
                leaves.join()
        load.check("rolling replacement of gateways")
