"""docker-compose.yml as far as it goes without a container engine; tests/containers has one.

What the format allows Docker Compose says itself, where it is there; the rest is what it cannot know.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from vfnet_client.cli import all_commands
from vfnet_client.commands.settings_parser import SettingsParser

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "VFNET_IMAGE_PREFIX" in service["image"]]
PROFILES = ("cpu", "gpu")


def started(profile: str) -> dict[str, Any]:
    return {name: each for name, each in SERVICES.items() if profile in each.get("profiles", [profile])}


def defaults(text: str) -> str:
    """`${NAME:-value}` -> value."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_cpus_are_the_default() -> None:
    assert "COMPOSE_PROFILES=cpu" in (ROOT / ".env").read_text().splitlines()
    ignored = subprocess.run(["git", "check-ignore", ".env"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode != 0


def docker_compose() -> list[str]:
    """Docker Compose 2 or newer, which needs no engine for this."""
    commands = [["docker", "compose"], ["docker-compose"]]
    if named := os.environ.get("DOCKER_COMPOSE"):
        commands = [[named]]
    for command in commands:
        if shutil.which(command[0]):
            version = subprocess.run([*command, "version", "--short"], check=False, capture_output=True, text=True)
            if version.returncode == 0 and not version.stdout.startswith("1."):
                return command
    return pytest.skip("no docker compose here; $DOCKER_COMPOSE may name one")


@pytest.mark.parametrize("profile", PROFILES)
def test_docker_compose_understands_it(profile: str) -> None:
    chosen = {"CHECKPOINT": "/checkpoints/my network.pth", "SERVE_OPTIONS": "--gpus 0,1 --exit-timeout 20",
              "VFNET_SERVE_STREAMS": "3", "VFNET_GATEWAY_TIMEOUT": "20"}  # fmt: skip
    outcome = subprocess.run(
        [*docker_compose(), "--profile", profile, "config", "--format", "json"],
        cwd=ROOT, env=os.environ | chosen, check=True, capture_output=True, text=True,
    )  # fmt: skip
    services = json.loads(outcome.stdout)["services"]
    assert services.keys() == started(profile).keys()
    (build,) = (service for name, service in services.items() if name.startswith("build"))
    assert build["command"][:3] == ["build", "--checkpoint", "/checkpoints/my network.pth"]
    (triton,) = (service for name, service in services.items() if name.startswith("triton"))
    assert triton["command"][-4:] == ["--gpus", "0,1", "--exit-timeout", "20"]
    # What is not set outside is not set inside, where it would count as said.
    assert {name: value for name, value in triton["environment"].items() if value is not None} == {
        "VFNET_CACHE_DIR": "/cache", "VFNET_SERVE_STREAMS": "3",
    } | ({"CUDA_CACHE_PATH": "/cache/cuda"} if profile == "gpu" else {})  # fmt: skip
    assert services["gateway"]["environment"]["VFNET_GATEWAY_TIMEOUT"] == "20"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_complete(profile: str) -> None:
    services = started(profile)
    assert {"gateway", "prometheus", "grafana"} < services.keys()
    assert len(services) == 5
    for service in services.values():
        for other, dependency in service.get("depends_on", {}).items():
            assert other in services or dependency.get("required") is False
            if other in services and dependency["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = defaults(volume["source"] if isinstance(volume, dict) else volume).split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists()
    # What the gateway and Prometheus call is the server of either profile.
    (triton,) = (name for name in services if name.startswith("triton"))
    assert "triton" in {triton, *services[triton]["networks"]["inner"]["aliases"]}
    assert all("inner" in services[asking]["networks"] for asking in ("gateway", "prometheus"))


@pytest.mark.parametrize("profile", PROFILES)
def test_each_image_of_ours_is_built_by_one_service_and_never_pulled(profile: str) -> None:
    ours = {name: service for name, service in started(profile).items() if name in OURS}
    builders = [service["image"] for service in ours.values() if "build" in service]
    assert sorted(builders) == sorted({service["image"] for service in ours.values()})
    for service in ours.values():
        assert service["pull_policy"] == ("build" if "build" in service else "never")


def test_images_without_pytorch_serve_and_answer() -> None:
    targets = {name: service["build"]["target"] for name, service in started("cpu").items() if name in OURS}
    assert {name: defaults(target) for name, target in targets.items()} == {
        "build": "build", "triton": "serve", "gateway": "gateway",
    }  # fmt: skip


FIXED = {
    "serve": "config repository host http-port grpc-port metrics-port health-port health-host triton"
    " state-file expose-triton until-rebuilt",
    "gateway": "config server host port grpc-port certificate certificate-key state-file manifest keys-file"
    " traffic-file drift-reference review-keys-file without-keys allow-host",
}
"""Options that stand in the commands, or name files and ports that a container does not have."""


@pytest.mark.parametrize(("command", "service"), [("serve", "triton"), ("serve", "triton-gpu"), ("gateway", "gateway")])
def test_every_other_option_can_be_set_in_the_environment(command: str, service: str) -> None:
    """A new option of the command wants a line in docker-compose.yml, or a word in `FIXED`."""
    parser = SettingsParser(prog=f"vfnet {command}")
    import_module(all_commands()[command].module).add_arguments(parser)
    options = {action.option_strings[-1][2:] for action in parser._actions} - {"help", *FIXED[command].split()}
    expected = {f"VFNET_{command}_{option}".replace("-", "_").upper() for option in options}
    passed = {name for name, value in SERVICES[service]["environment"].items() if value is None}
    assert expected - passed == set()


@pytest.mark.parametrize("service", OURS)
def test_the_command_of_a_service_is_understood(service: str) -> None:
    name, *options = shlex.split(defaults(SERVICES[service]["command"]))
    parser = argparse.ArgumentParser()
    import_module(all_commands()[name].module).add_arguments(parser)
    parser.parse_args(options)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_privileges_on_a_read_only_root(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert "ulimits" not in SERVICES[service]  # above the host's own they keep a container from starting
    if service not in OURS:  # the others' user is in their Dockerfile
        assert not SERVICES[service]["user"].startswith(("0", "root"))


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_and_can_be_overridden(service: str) -> None:
    image = SERVICES[service]["image"]
    assert "${" in image
    tag = defaults(image).rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), image


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("triton")])
def test_triton_has_shared_memory_a_cache_and_a_true_health_check(service: str) -> None:
    assert defaults(SERVICES[service]["shm_size"]) == "2gb"
    assert "cache:/cache" in SERVICES[service]["volumes"]
    assert SERVICES[service]["environment"]["VFNET_CACHE_DIR"] == "/cache"
    assert SERVICES[service]["healthcheck"]["test"][1] == "http_health"


def test_only_the_gpu_profile_asks_for_gpus() -> None:
    asking = {name for name, service in SERVICES.items() if "deploy" in service}
    assert asking == {"build-gpu", "triton-gpu"}
    (device,) = SERVICES["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["count"] == "all"


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("service", [name for name in SERVICES if name.startswith("triton")])
def test_triton_is_reached_by_the_inner_network_only(service: str) -> None:
    assert "ports" not in SERVICES[service]
    assert list(SERVICES[service]["networks"]) == ["inner"]
    assert COMPOSE["networks"]["inner"]["internal"] is True
    assert "--expose-triton" in shlex.split(SERVICES[service]["command"])


def test_the_gateway_is_what_is_published() -> None:
    published = {name for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"gateway", "prometheus", "grafana"}
