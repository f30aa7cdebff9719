"""The chart and KServe's manifests at a real API server: what it takes, what it makes of it, what its admission says.

KUBEBUILDER_ASSETS names its programs (build_api_server.sh), VFNET_TEST_CRDS the definitions of other projects' kinds.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
import yaml

from api_server import CRDS, APIServer, api_server
from helm_chart import CHART, ROOT, VALUES, Manifest, render
from waiting import eventually

EXAMPLES = ["default", *sorted(path.stem for path in VALUES.glob("*.yaml"))]
OTHERS = ("keda.sh", "monitoring.coreos.com", "serving.kserve.io")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APIServer]:
    """With the definitions of other projects' kinds, where they are there."""
    with api_server(tmp_path_factory.mktemp("cluster")) as server:
        if CRDS in os.environ:
            server.tell("kubectl", "apply", "--server-side", f"--filename={os.environ[CRDS]}")
            wait = ("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
            assert eventually(lambda: server.run("kubectl", *wait).returncode == 0, seconds=60)
        yield server


def namespace(cluster: APIServer, name: str) -> str:
    """A new one, in which only pods of the Pod Security Standard `restricted` may be."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.tell("kubectl", "create", "--filename=-", given=yaml.safe_dump(made))
    return name


def known(manifests: list[Manifest]) -> list[Manifest]:
    """Those whose kinds the server has."""
    return [each for each in manifests if CRDS in os.environ or not each["apiVersion"].startswith(OTHERS)]


def apply(cluster: APIServer, space: str, manifests: list[Manifest], *options: str) -> list[str]:
    """One line for each object. Unknown and doubled fields are errors."""
    given = yaml.safe_dump_all(manifests)
    command = ("apply", f"--namespace={space}", "--server-side", "--validate=strict", *options, "--filename=-")
    return cluster.tell("kubectl", *command, given=given).splitlines()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_server_takes_every_object_as_it_is(cluster: APIServer, name: str) -> None:
    options = [] if name == "default" else [f"--values={VALUES / name}.yaml"]
    space = namespace(cluster, f"as-it-is-{name}")
    manifests = known(render("--set=monitoring.serviceMonitor=true,monitoring.rules=true", *options))
    for each in manifests:
        each["metadata"]["namespace"] = space
    assert len(apply(cluster, space, manifests, "--dry-run=server")) == len(manifests)
    assert len(apply(cluster, space, manifests)) == len(manifests)
    assert all(line.endswith("serverside-applied") for line in apply(cluster, space, manifests))


def test_pods_are_made_of_every_deployment_though_only_restricted_ones_may_be(cluster: APIServer) -> None:
    space = namespace(cluster, "pods")
    release = ("install", "demo", str(CHART), f"--namespace={space}")
    cluster.tell("helm", *release)

    def made() -> bool:
        return sum("-server-" in each["metadata"]["name"] for each in cluster.listed("pods", space)) == 2 and (
            sum("-gateway-" in each["metadata"]["name"] for each in cluster.listed("pods", space)) == 2
        )

    assert eventually(made, seconds=30), cluster.tell("kubectl", "get", "events", f"--namespace={space}")
    warned = [each["message"] for each in cluster.listed("events", space) if "violates PodSecurity" in each["message"]]
    assert warned == []
    refused = cluster.run(
        "kubectl", "run", "root", "--image=vfnet-serve:0.1.0", f"--namespace={space}"
    )  # so that the namespace does refuse some
    assert "violates PodSecurity" in refused.stderr


def test_the_key_stays_when_the_release_is_upgraded_and_when_it_goes(cluster: APIServer) -> None:
    """helm asks the server for the key that is there, which `helm template` cannot."""
    space = namespace(cluster, "keys")

    def key() -> bytes:
        (secret,) = (each for each in cluster.listed("secrets", space) if "keys" in each.get("data", {}))
        return base64.b64decode(secret["data"]["keys"])

    cluster.tell("helm", "install", "demo", str(CHART), f"--namespace={space}")
    first = key()
    assert len(first) > 20
    cluster.tell("helm", "upgrade", "demo", str(CHART), f"--namespace={space}", "--set=gateway.replicas=3")
    assert key() == first
    assert {each["spec"]["replicas"] for each in cluster.listed("deployments", space)} == {2, 3}
    cluster.tell("helm", "rollback", "demo", "1", f"--namespace={space}")
    assert key() == first
    cluster.tell("helm", "uninstall", "demo", f"--namespace={space}")
    assert cluster.listed("deployments", space) == []
    assert key() == first


def test_other_values_of_a_job_are_another_job(cluster: APIServer) -> None:
    """A Job's pod cannot be changed: helm would fail if the name stayed."""
    space = namespace(cluster, "jobs")
    values = (f"--namespace={space}", "--set=build.mode=job,repository.existingClaim=vfnet-repository")
    cluster.tell("helm", "install", "demo", str(CHART), *values)
    cluster.tell("helm", "upgrade", "demo", str(CHART), *values, "--set=checkpoint.source=coco")
    (job,) = cluster.listed("jobs", space)
    assert "--checkpoint=coco" in job["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_server_takes_kserves_manifests(cluster: APIServer) -> None:
    if CRDS not in os.environ:
        pytest.skip(f"{CRDS} names no definitions of KServe's kinds")
    space = namespace(cluster, "kserve")
    files = [ROOT / "build" / "kserve" / name for name in ("serving_runtime.yaml", "inference_service.yaml")]
    assert len(apply(cluster, space, [yaml.safe_load(path.read_text()) for path in files])) == 2


@pytest.mark.parametrize(
    ("kind", "field"), [("PodDisruptionBudget", "maxUnavailabel"), ("ScaledObject", "minReplicas")]
)
def test_a_wrong_field_is_an_error_there(cluster: APIServer, kind: str, field: str) -> None:
    """So that what is taken is known to be right."""
    space = namespace(cluster, f"wrong-{kind.lower()}")
    manifests = [each for each in known(render(f"--values={VALUES / 'keda.yaml'}")) if each["kind"] == kind]
    if not manifests:
        pytest.skip(f"{CRDS} names no definitions of KEDA's kinds")
    manifests[0]["spec"][field] = 1
    command = ("apply", f"--namespace={space}", "--server-side", "--validate=strict", "--filename=-")
    outcome = cluster.run("kubectl", *command, given=yaml.safe_dump_all(manifests))
    assert outcome.returncode != 0
    assert field in outcome.stderr
