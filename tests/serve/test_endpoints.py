"""Where a server listens, and whom that exposes it to."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from score_requests import strip_png
from triton_server import NO_OP, serving
from vfnet_client.client import VFNetClient
from vfnet_client.free_ports import free_ports
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError


def test_an_ipv6_address_stands_in_brackets_where_a_port_follows() -> None:
    endpoints = Endpoints("::1")
    assert endpoints.grpc_url == "grpc://[::1]:8001"
    assert endpoints.http_url == "http://[::1]:8000"
    assert endpoints.metrics_url == "http://[::1]:8002/metrics"
    assert Endpoints("::").grpc_url == "grpc://[::1]:8001"
    assert Endpoints("0.0.0.0").grpc_url == "grpc://127.0.0.1:8001"


@pytest.mark.parametrize(("host", "is_loopback"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("example.org", False),
])  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str, is_loopback: bool) -> None:
    assert Endpoints(host).is_loopback is is_loopback


def test_an_address_that_is_not_this_machines_is_said() -> None:
    with pytest.raises(ServerError, match="choose another address with --host"):
        Endpoints("192.0.2.1").check_free()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_that_others_reach_is_wanted_explicitly(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vfnet_client", "serve", f"--repository={tmp_path}", f"--host={host}"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 1
    (said,) = outcome.stderr.strip().splitlines()
    assert "--expose-triton" in said
    assert host in said


def can_listen_on_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.served
@pytest.mark.skipif(not can_listen_on_ipv6(), reason="no IPv6 loopback here")
def test_it_serves_on_ipv6(demo_repository: Path, tmp_path: Path) -> None:
    with serving(demo_repository, tmp_path, NO_OP, "--host=::1") as served:
        with VFNetClient(f"grpc://[::1]:{served.grpc_port}") as client:
            assert client.detect(strip_png())
        assert f"grpc://[::1]:{served.grpc_port}" in served.log.read_text()


def test_what_is_exposed_is_said(tmp_path: Path) -> None:
    names = zip(("http", "grpc", "metrics"), free_ports(3), strict=True)
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "vfnet_client", "serve", f"--repository={tmp_path}", "--host=0.0.0.0"]
    command += ["--expose-triton", f"--state-file={state}", *(f"--{name}-port={port}" for name, port in names)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    first, *_ = outcome.stderr.splitlines()
    assert "WARNING --expose-triton" in first
    assert "end Triton" in first
