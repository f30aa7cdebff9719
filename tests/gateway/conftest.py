"""Gateways in front of a real Triton: with its network, without it, and without it but slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_process import RunningGateway, running_gateway
from held_detector import Gate, gate_of, with_gate
from triton_server import NO_OP, ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_time

SLOW_SECONDS = 0.1
"""What one image takes the slow detector, one after another."""


@pytest.fixture(scope="session")
def slow_repository(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose detector takes `SLOW_SECONDS` an image."""
    target = tmp_path_factory.mktemp("slow") / "repository"
    return with_gate(with_fixed_time(demo_repository, target, 1000 * SLOW_SECONDS))


@pytest.fixture(scope="session")
def slow_server(slow_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """`slow_repository`, served."""
    with serving(slow_repository, tmp_path_factory.mktemp("slow_server"), NO_OP) as served:
        yield served


@pytest.fixture
def slow_gate(slow_server: ServedRepository) -> Gate:
    """Holds what is in `slow_server`'s detector."""
    return gate_of(slow_server.repository)


@pytest.fixture(scope="session")
def gateway(quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """An open gateway with small limits, in front of the quick server. Leave it as it is: others use it too."""
    options = ["--max-body-bytes=4000000", "--body-idle-timeout=1", "--header-timeout=1"]
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(quick_server.grpc_url, folder, *options) as running:
        yield running


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """A connection to `gateway`."""
    with gateway.client() as opened:
        yield opened
