"""Nothing phones home: what the product uses resolves no name and connects to nothing beyond this machine.

A library under every process (network_guard.c) notes who tries, also from C++, and lets nothing out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared_data import ROOT
from vfnet_client.free_ports import free_ports

pytestmark = pytest.mark.slow

MODELS = ROOT / "model_repository"


@dataclass(frozen=True)
class Guard:
    """A home folder and a log for processes that must not reach out."""

    library: Path
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def attempts(self) -> list[str]:
        """What was tried: `resolve NAME by PROGRAM (number)`, or `connect ADDRESS by ...`."""
        log = self.folder / "attempts"
        return log.read_text().splitlines() if log.exists() else []

    def run(self, *command: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        # What says that this is a CI run turns some telemetry off, and is not what users have.
        unset = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "DO_NOT_TRACK")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        environment |= {
            "HOME": str(self.home),
            "VFNET_CACHE_DIR": str(self.folder / "cache"),
            "LD_PRELOAD": str(self.library),
            "NETWORK_GUARD_LOG": str(self.folder / "attempts"),
        }
        environment = {name: value for name, value in environment.items() if name not in OURS}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
        )

    def python(self, script: str) -> None:
        done = self.run(sys.executable, "-c", script)
        assert done.returncode == 0, done.stderr


OURS = ("RAY_USAGE_STATS_ENABLED", "ORT_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
"""Which the test process has by importing us, and a user's shell has not."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    target = tmp_path_factory.mktemp("guard") / "network_guard.so"
    source = Path(__file__).with_name("network_guard.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", target, source, "-ldl"], check=True)
    return target


@pytest.fixture
def guard(library: Path, tmp_path: Path) -> Guard:
    (tmp_path / "home").mkdir()
    return Guard(library, tmp_path)


def test_the_guard_sees_names_and_addresses(guard: Guard) -> None:
    guard.python("""
import socket
for attempt in (lambda: socket.getaddrinfo("telemetry.invalid", 443),
                lambda: socket.gethostbyname("telemetry.invalid"),
                lambda: socket.create_connection(("192.0.2.1", 443)),
                lambda: socket.create_connection(("2001:db8::1", 443)),
                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))):
    try:
        attempt()
    except OSError:
        continue
    raise SystemExit("a packet went out")
with socket.socket() as listener:
    listener.bind(("localhost", 0))
    listener.listen()
    socket.create_connection(listener.getsockname()).close()
""")
    words = [attempt.split()[:2] for attempt in guard.attempts()]
    assert words == [
        ["resolve", "telemetry.invalid"], ["resolve", "telemetry.invalid"], ["connect", "192.0.2.1"],
        ["connect", "2001:db8::1"], ["sendto", "192.0.2.1"],
    ]  # fmt: skip


def test_openvino_in_a_model_process(guard: Guard) -> None:
    guard.python("import vfnet_runtime.engines.openvino_engine, time; time.sleep(1)")
    assert guard.attempts() == []
    assert not (guard.home / "intel").exists()


@pytest.mark.parametrize(
    "package",
    ["runtime", "model", "build", "data", "train", "evaluate", "serve", "gateway", "batch", "load", "bench", "client"],
)
def test_openvino_after_any_package_of_ours(guard: Guard, package: str) -> None:
    guard.python(f"import vfnet_{package}, openvino, time; time.sleep(0.5)")
    assert guard.attempts() == []
    assert not (guard.home / "intel").exists()


def test_int8(guard: Guard) -> None:
    guard.python("""
import vfnet_build.engines.quantization
import time, nncf, numpy, openvino as ov, openvino.opset12 as ops
image = ops.parameter([1, 3, 8, 8], ov.Type.f32)
weights = ops.constant(numpy.ones((4, 3, 3, 3), numpy.float32))
model = ov.Model([ops.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])], [image])
nncf.quantize(model, nncf.Dataset([numpy.ones((1, 3, 8, 8), numpy.float32)] * 2))
time.sleep(1)
""")
    assert guard.attempts() == []


def test_onnx_runtime(guard: Guard) -> None:
    guard.python("""
import vfnet_build, time, onnxruntime
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString())
time.sleep(1)
""")
    assert guard.attempts() == []
    # It sends what it collected half a minute later: here is where it would be.
    assert not (guard.home / ".cache" / "Microsoft").exists()


def test_ray(guard: Guard) -> None:
    guard.python("""
import vfnet_batch
import vfnet_train.sweep.early_termination
from ray._common.usage.usage_lib import usage_stats_enabled
assert not usage_stats_enabled()
""")
    assert guard.attempts() == []


def test_what_load_tests_and_tests_import(guard: Guard) -> None:
    guard.python("import vfnet_load, locust, time; time.sleep(0.5)")
    guard.python("""
import vfnet_client, time
import duckdb, hypothesis, matplotlib.pyplot, pandas, playwright.sync_api, pyarrow, schemathesis, sklearn, torch
duckdb.sql("select 1").fetchall()
time.sleep(0.5)
""")
    assert guard.attempts() == []


@pytest.mark.served
def test_build_serve_gateway_and_client(guard: Guard, tmp_path: Path) -> None:
    names = ("http", "grpc", "metrics", "score", "score-grpc")
    ports = [f"--{name}-port={port}" for name, port in zip(names, free_ports(5), strict=True)]
    vfnet, state = [sys.executable, "-m", "vfnet_client"], f"--state={tmp_path / 'var'}"
    try:
        up = guard.run(*vfnet, "up", state, *ports)
        assert up.returncode == 0, up.stderr
    finally:
        down = guard.run(*vfnet, "down", state)
    assert "stopped gateway and server" in down.stderr
    assert guard.attempts() == []
    assert not (guard.home / "intel").exists()
