"""The Helm chart, rendered by helm itself, against Kubernetes' own schemas and what the images understand."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import yaml

import write_chart_reference
from helm_chart import CHART, ROOT, TOOLS, VALUES, Manifest, helm, of_kind, render
from vfnet_bench.scaling.scaling_rule import CHART_RULE
from vfnet_client.cli import all_commands
from vfnet_client.commands.settings_parser import SettingsParser

EXAMPLES = ["default", *sorted(path.stem for path in VALUES.glob("*.yaml"))]
CORE = re.compile(r"^(v1|apps/v1|batch/v1|policy/v1|autoscaling/v2|networking\.k8s\.io/v1)$")


def refusal(*options: str) -> str:
    """What helm says against values."""
    command = [helm(), "template", "demo", str(CHART), *options]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True)
    assert outcome.returncode != 0
    return outcome.stderr


def example(name: str) -> list[str]:
    return [] if name == "default" else [f"--values={VALUES / name}.yaml"]


@pytest.fixture(params=EXAMPLES)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(*example(request.param))


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """Specs of all pods."""
    return [each["spec"]["template"]["spec"] for each in manifests if each["kind"] in ("Deployment", "Job")]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_finds_nothing_to_say(name: str) -> None:
    command = [helm(), "lint", "--strict", "--quiet", str(CHART), *example(name)]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_manifests_are_what_kubernetes_reads(manifests: list[Manifest]) -> None:
    folders = sorted(TOOLS.glob("kubernetes_validate/kubernetes-json-schema/v*-local-strict"))
    if not folders:
        pytest.skip("no schemas of Kubernetes here: `make test-charts` fetches them")

    def retrieve(uri: str) -> referencing.Resource[Any]:
        contents = json.loads((folders[-1] / Path(uri).name).read_text(encoding="utf-8"))
        return referencing.Resource.from_contents(contents, referencing.jsonschema.DRAFT202012)

    registry: referencing.Registry[Any] = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]
    checked = 0
    for manifest in manifests:
        if not CORE.match(manifest["apiVersion"]):
            continue  # KEDA's and the Prometheus operator's own
        group, _, version = manifest["apiVersion"].rpartition("/")
        name = "-".join([manifest["kind"].lower(), *([group.split(".")[0]] if group else []), version]) + ".json"
        jsonschema.Draft202012Validator({"$ref": name}, registry=registry).validate(manifest)
        checked += 1
    assert checked >= 8


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    """As the Pod Security Standard `restricted` wants it, and a read-only root beside."""
    for pod in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in containers(pod):
            context = container["securityContext"]
            assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_what_is_mounted_is_there(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes


def test_the_commands_understand_their_arguments_and_settings(manifests: list[Manifest]) -> None:
    checked = set()
    for pod in pods(manifests):
        for container in containers(pod):
            if container["name"] == "fetch":
                continue
            name, *options = container["args"]
            parser = argparse.ArgumentParser()
            import_module(all_commands()[name].module).add_arguments(parser)
            parser.parse_args(options)
            known = {f"VFNET_{name}_{action.dest}".upper() for action in parser._actions}
            variables = {each["name"] for each in container["env"] if each["name"].startswith(f"VFNET_{name.upper()}_")}
            assert variables <= known
            checked.add(name)
    assert checked == {"build", "serve", "gateway"}


def test_settings_become_variables_that_the_gateway_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = of_kind(render(*example("public")), "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0]
    parser = SettingsParser(prog="vfnet gateway")
    for variable in gateway["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    import_module(all_commands()["gateway"].module).add_arguments(parser)
    arguments = parser.parse_args(gateway["args"][1:])
    assert arguments.max_images == 100
    assert len(arguments.allow_urls_to) == 2


def test_selectors_find_their_pods(manifests: list[Manifest]) -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in manifests if each["kind"] == "Deployment"]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        match manifest["kind"]:
            case "Service":
                selected = spec["selector"]
            case "PodDisruptionBudget" | "Deployment":
                selected = spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                selected = spec["podSelector"]["matchLabels"]
            case _:
                continue
        assert sum(selected.items() <= each.items() for each in labels) == 1


def test_the_gateway_asks_the_servers_by_the_headless_service(manifests: list[Manifest]) -> None:
    service = of_kind(manifests, "Service", "-server")
    assert service["spec"]["clusterIP"] == "None"
    (gateway,) = of_kind(manifests, "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"]
    assert f"--server=dns:///{service['metadata']['name']}:8001" in gateway["args"]


def test_only_gateways_and_prometheus_reach_triton(manifests: list[Manifest]) -> None:
    rules = of_kind(manifests, "NetworkPolicy", "-server")["spec"]["ingress"]
    assert len(rules) == 2
    (gateways,) = rules[0]["from"]
    assert gateways["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert rules[1]["ports"] == [{"port": "metrics"}]


def test_pods_have_time_to_finish(manifests: list[Manifest]) -> None:
    for component, timeout in (("server", 2 * 30), ("gateway", 30)):  # --exit-timeout, twice; --drain-timeout
        pod = of_kind(manifests, "Deployment", f"-{component}")["spec"]["template"]["spec"]
        (pause,) = (each for each in pod["containers"][0]["args"] if each.startswith("--lame-duck="))
        assert pod["terminationGracePeriodSeconds"] > timeout + int(pause.partition("=")[2]) + 20


def test_keys_come_from_a_secret_and_are_never_arguments(manifests: list[Manifest]) -> None:
    pod = of_kind(manifests, "Deployment", "-gateway")["spec"]["template"]["spec"]
    assert "--keys-file=/keys/keys" in pod["containers"][0]["args"]
    (secret,) = (volume["secret"]["secretName"] for volume in pod["volumes"] if volume["name"] == "keys")
    made = [each for each in manifests if each["kind"] == "Secret"]
    assert secret == "vfnet-keys" if not made else secret == made[0]["metadata"]["name"]


def test_captured_images_go_to_a_claim_and_reviewers_have_keys_of_their_own() -> None:
    manifests = render(*example("capture"))
    pod = of_kind(manifests, "Deployment", "-gateway")["spec"]["template"]["spec"]
    (gateway,) = pod["containers"]
    assert {"--capture=/captured", "--review-keys-file=/review-keys/keys"} <= set(gateway["args"])
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["captured"]["persistentVolumeClaim"] == {"claimName": "vfnet-captured"}
    assert volumes["review-keys"]["secret"]["secretName"] == "vfnet-reviewers"
    mounts = {mount["name"]: mount for mount in gateway["volumeMounts"]}
    assert (mounts["captured"]["mountPath"], mounts["captured"].get("readOnly", False)) == ("/captured", False)
    for component in ("server", "gateway"):
        rules = of_kind(manifests, "NetworkPolicy", f"-{component}")["spec"]["egress"]
        assert {"port": 4318} in [port for rule in rules for port in rule["ports"]]
        assert {"port": 53, "protocol": "UDP"} in [port for rule in rules for port in rule["ports"]]


def test_capturing_to_an_object_store_needs_its_credentials_and_no_claim() -> None:
    options = ("--set=gateway.capture.store=s3://bucket/prefix", "--set-json=gateway.capture.envFrom="
               '[{"secretRef": {"name": "object-store"}}]')  # fmt: skip
    pod = of_kind(render(*options), "Deployment", "-gateway")["spec"]["template"]["spec"]
    (gateway,) = pod["containers"]
    assert "--capture=s3://bucket/prefix" in gateway["args"]
    assert gateway["envFrom"] == [{"secretRef": {"name": "object-store"}}]
    assert "captured" not in {volume["name"] for volume in pod["volumes"]}


def test_nothing_is_captured_and_nobody_reviews_unless_it_is_said() -> None:
    pod = of_kind(render(), "Deployment", "-gateway")["spec"]["template"]["spec"]
    assert not [each for each in pod["containers"][0]["args"] if "capture" in each or "review" in each]
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "keys"}
    assert of_kind(render(), "NetworkPolicy", "-server")["spec"]["egress"] == []


def test_without_keys_is_said_in_so_many_words() -> None:
    pod = of_kind(render("--set=gateway.keys.disabled=true"), "Deployment", "-gateway")["spec"]["template"]["spec"]
    assert "--without-keys" in pod["containers"][0]["args"]
    assert "--allow-host=demo-vfnet-gateway.vision.svc" in pod["containers"][0]["args"]


def test_gpus_are_asked_for_where_they_are_wanted() -> None:
    (gpu,) = of_kind(render(*example("gpu")), "Deployment", "-server")["spec"]["template"]["spec"]["containers"]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert all("nvidia.com/gpu" not in json.dumps(pod) for pod in pods(render()))


def test_a_job_builds_into_a_claim_that_servers_only_read() -> None:
    manifests = render(*example("keda"))
    job = of_kind(manifests, "Job")["spec"]["template"]["spec"]
    server = of_kind(manifests, "Deployment", "-server")["spec"]["template"]["spec"]
    claim = {"claimName": "vfnet-repository"}
    assert {"name": "repository", "persistentVolumeClaim": claim} in job["volumes"]
    assert {"name": "repository", "persistentVolumeClaim": {**claim, "readOnly": True}} in server["volumes"]
    assert "--until-rebuilt" in server["containers"][0]["args"]
    assert "initContainers" not in server
    other = of_kind(render(*example("keda"), "--set=checkpoint.source=coco"), "Job")["metadata"]["name"]
    assert other != of_kind(manifests, "Job")["metadata"]["name"]


def test_keda_asks_prometheus_for_metrics_that_there_are() -> None:
    triggers = of_kind(render(*example("keda")), "ScaledObject")["spec"]["triggers"]
    named = {name for each in triggers for name in re.findall(r"\b(?:nv|vfnet)_\w+", each["metadata"]["query"])}
    dashboard = (ROOT / "build/docker/grafana/dashboards/vfnet.json").read_text()  # Prometheus finds all of it
    assert named
    assert all(name in dashboard for name in named)


def test_kedas_rule_is_the_one_that_was_simulated() -> None:
    scaled = of_kind(render(*example("keda")), "ScaledObject")["spec"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())["server"]["autoscaling"]
    assert (values["minReplicas"], values["maxReplicas"]) == (CHART_RULE.smallest, CHART_RULE.largest)
    in_flight, refusals = (each["metadata"] for each in scaled["triggers"])
    assert float(in_flight["threshold"]) == CHART_RULE.target
    assert in_flight["query"].count(f"[{CHART_RULE.over / 60:g}m]") == 2
    assert f"> bool {CHART_RULE.refusals:g})" in refusals["query"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": CHART_RULE.down_after}}
    scrape = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["interval"]
    assert scrape == f"{CHART_RULE.scrape:g}s"


def test_alerts_are_those_of_docker_compose() -> None:
    rule = of_kind(render("--set=monitoring.rules=true"), "PrometheusRule")
    names = ("objectives", "service_levels", "alerts")
    files = [yaml.safe_load((ROOT / f"build/docker/prometheus/{name}.yml").read_text()) for name in names]
    assert rule["spec"] == {"groups": [group for file in files for group in file["groups"]]}


def test_objectives_and_runbook_can_be_set() -> None:
    page = "https://vision.example.org/runbook.html"
    objectives = '{"availability": 0.999, "latency": 0.9, "latencySeconds": "0.5"}'
    options = (f"--set=monitoring.runbook={page}", f"--set-json=monitoring.objectives={objectives}")
    rule = of_kind(render("--set=monitoring.rules=true", *options), "PrometheusRule")
    groups = rule["spec"]["groups"]
    assert [each["expr"] for each in groups[0]["rules"]] == ["vector(0.999)", "vector(0.9)", "vector(0.5)"]
    assert groups[0]["rules"][2]["labels"] == {"le": "0.5"}
    urls = {each["annotations"]["runbook_url"] for group in groups for each in group["rules"] if "alert" in each}
    assert all(url.startswith(f"{page}#vfnet") for url in urls)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gateway.capture.store=/captured/../x", "its '..' leads out of its folder"),
        ("gateway.capture.store=/captured/x/..", "its '..' leads out of its folder"),
        ("gateway.capture.store=s3://bucket/../other", "its '..' leads out of its folder"),
        ("gateway.capture.store=file:///captured/../x", "its '..' leads out of its folder"),
        ("gateway.capture.store=file:///data", "a folder that is not below /captured"),
        ("gateway.capture.store=captured", "a folder that is not below /captured"),
        ("repository.folder=../x", "its '..' leads out of /repository"),
        ("repository.folder=vfnet/../../x", "its '..' leads out of /repository"),
        ("repository.folder=/data", "without a / before it"),
        ("checkpoint.source=/checkpoints/../x.pth", "its '..' leads out of /checkpoints"),
        ("checkpoint.source=/data/x.pth", "a path below /checkpoints"),
        ("checkpoint.source=x.pth", "a path below /checkpoints"),
        ("checkpoint.source=s3://bucket/x.pth", "a path below /checkpoints"),
    ],
)
def test_paths_that_lead_out_of_what_is_mounted_are_refused_in_a_sentence(value: str, said: str) -> None:
    claims = ("gateway.capture.existingClaim", "repository.existingClaim", "checkpoint.existingClaim")
    usual = ("gateway.capture.store=/captured", *(f"{claim}=c" for claim in claims))
    refused = refusal(f"--set={','.join(usual)}", f"--set={value}")
    assert f"{value.partition('=')[0]} is " in refused
    assert said in refused


@pytest.mark.parametrize("mode", ["init", "job"])
def test_paths_with_dots_in_their_names_stay(mode: str) -> None:
    manifests = render(
        "--set=gateway.capture.store=/captured/..2026/v1..2,gateway.capture.existingClaim=captured",
        "--set=repository.folder=team/vfnet..1,checkpoint.source=/checkpoints/a b..c.pth,checkpoint.existingClaim=c",
        f"--set=build.mode={mode},repository.existingClaim=c",
    )
    arguments = [each for pod in pods(manifests) for container in containers(pod) for each in container["args"]]
    assert "--capture=/captured/..2026/v1..2" in arguments
    assert arguments.count("--repository=/repository/team/vfnet..1") == 2
    assert "--checkpoint=/checkpoints/a b..c.pth" in arguments


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--set=server.replica=3", "replica"),
        ("--set=checkpoint.source=/checkpoints/x.pth", "checkpoint.existingClaim or checkpoint.fetch"),
        ("--set=build.mode=never", "mode"),
        ("--set=build.mode=job", "repository.existingClaim"),
        ("--set=server.replicas=none", "replicas"),
        ("--set=gateway.capture.store=/data", "/captured"),
        ("--set=gateway.capture.store=/captured", "existingClaim"),
        ("--set=gateway.capture.existingClaim=claim", "gateway.capture.store"),
        ("--set=server.settings.Max_Waiting=1", "Max_Waiting"),
    ],
)
def test_values_that_mean_nothing_are_refused(option: str, said: str) -> None:
    assert said in refusal(option)


def test_readme_and_schema_follow_from_the_values() -> None:
    """`make chart-reference` writes them."""
    for name, content in write_chart_reference.reference().items():
        assert (CHART / name).read_text(encoding="utf-8") == content


def test_versions_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_kserves_runtime_starts_what_the_images_understand() -> None:
    runtime = yaml.safe_load((ROOT / "build/kserve/serving_runtime.yaml").read_text())
    service = yaml.safe_load((ROOT / "build/kserve/inference_service.yaml").read_text())
    for container in runtime["spec"]["containers"]:
        name, *options = container["args"]
        parser = argparse.ArgumentParser()
        import_module(all_commands()[name].module).add_arguments(parser)
        parser.parse_args(options)
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
