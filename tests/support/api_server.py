"""Kubernetes' API server, run on this machine with nothing behind it: it checks and stores what it is given.

Of a cluster there are etcd, kube-apiserver and the part of kube-controller-manager that makes pods of Deployments. No
node runs them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm_chart import TOOLS
from vfnet_client.free_ports import free_ports

ASSETS = "KUBEBUILDER_ASSETS"
"""Where etcd, kube-apiserver and kube-controller-manager are: the name that envtest has for it."""
CRDS = "VFNET_TEST_CRDS"
"""A folder with the CustomResourceDefinitions of KEDA, the Prometheus operator and KServe, as these projects have them,
one a file."""
_KEY = "not-a-secret"
_CONTROLLERS = "deployment,replicaset,job,disruption,namespace,garbagecollector"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class APIServer:
    """One that is ready."""

    kubeconfig: Path

    def run(self, program: str, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """`kubectl` or `helm` as its administrator."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        command = [str(TOOLS / program), *arguments]
        return subprocess.run(
            command, env=environment, input=given, check=False, capture_output=True, text=True, timeout=120
        )

    def tell(self, program: str, *arguments: str, given: str | None = None) -> str:
        """What it printed. A test fails with all of it where it does not succeed."""
        outcome = self.run(program, *arguments, given=given)
        if outcome.returncode != 0:
            pytest.fail(f"{program} {' '.join(arguments)}: {outcome.returncode}\n{outcome.stdout}\n{outcome.stderr}")
        return outcome.stdout

    def listed(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace, as they are stored."""
        found = yaml.safe_load(self.tell("kubectl", "get", kind, f"--namespace={namespace}", "--output=yaml"))
        items: list[dict[str, Any]] = found["items"]
        return items


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[APIServer]:
    """Skips the test where there are no programs for it; they end with the context."""
    if ASSETS not in os.environ:
        pytest.skip(f"{ASSETS} names no kube-apiserver and etcd: tests/charts/build_api_server.sh makes them")
    if not (TOOLS / "kubectl").exists():
        pytest.skip("no kubectl here: `make test-charts` fetches it")
    assets = Path(os.environ[ASSETS])
    client, peer, port = free_ports(3)
    key, tokens, kubeconfig = folder / "service-accounts.key", folder / "tokens.csv", folder / "kubeconfig"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens.write_text(f"{_KEY},admin,admin,system:masters\n")
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig(port)))
    stored, issuer = f"http://127.0.0.1:{client}", "https://kubernetes.default.svc"
    commands = {
        "etcd": [
            f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={stored}", f"--advertise-client-urls={stored}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            f"--etcd-servers={stored}", "--bind-address=127.0.0.1", f"--secure-port={port}",
            f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            f"--service-account-issuer={issuer}", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",  # there is nobody to make the accounts
        ],
        "kube-controller-manager": [
            f"--kubeconfig={kubeconfig}", "--leader-elect=false", f"--controllers={_CONTROLLERS}", "--secure-port=0",
        ],
    }  # fmt: skip
    server = APIServer(kubeconfig)
    with contextlib.ExitStack() as stopped:
        for name, options in commands.items():
            if name == "kube-controller-manager":
                _wait_until_ready(server, folder)
            stopped.enter_context(_running([str(assets / name), *options], folder / f"{name}.log"))
        yield server


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("w") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: APIServer, folder: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while server.run("kubectl", "get", "--raw", "/readyz").returncode != 0:
        if time.monotonic() > end:
            pytest.fail("kube-apiserver does not start:\n" + (folder / "kube-apiserver.log").read_text()[-3000:])
        time.sleep(0.3)


def _kubeconfig(port: int) -> dict[str, Any]:
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "test", "user": {"token": _KEY}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
