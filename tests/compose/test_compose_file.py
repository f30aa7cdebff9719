"""docker-compose.yml as far as it goes without a container engine: its commands are ones that `vfnet` takes."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from vfnet_client.cli import SUBCOMMANDS

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_command_of_a_service_is_understood(service: str) -> None:
    name, *options = SERVICES[service]["command"]
    parser = argparse.ArgumentParser()
    import_module(SUBCOMMANDS[name].module).add_arguments(parser)
    parser.parse_args(options)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_privileges_on_a_read_only_root(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    lines = (ROOT / "build" / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in kept


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
