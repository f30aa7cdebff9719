"""Triton's control plane is closed to everybody but `vfnet serve`, and what opens it is nowhere to be read."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from score_requests import strip_png
from served_inference import document
from triton_server import NO_OP, ServedRepository, serving
from vfnet_serve.hidden_arguments import TracingForbiddenError, start_with_hidden
from vfnet_serve.parent_death import MAY_NOT_BE_TRACED
from waiting import eventually

MODELS = ("vfnet", "vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")
KEYS = {"VFNET_GATEWAY_KEYS": "gateway-secret", "VFNET_API_KEY": "client-secret", "OMP_MY_TOKEN": "another-secret"}


@pytest.fixture(scope="module")
def closed(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        with serving(demo_repository, tmp_path_factory.mktemp("closed"), NO_OP) as served:
            yield served


def control(served: ServedRepository) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((served.log.parent / "control.json").read_text())
    return document


def post(served: ServedRepository, path: str, body: object = None, headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(
        served.http_url + path, json.dumps(body or {}).encode(), {"Content-Type": "text/plain"} | (headers or {})
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


CONFIG = {"parameters": {"config": '{"backend": "python"}', "file:1/model.py": "cHJpbnQoMSk="}}
STEPS = [f"/v2/repository/models/{model}/{verb}" for model in MODELS for verb in ("load", "unload")]
OTHERS = [
    "/v2/repository/index",
    "/v2/systemsharedmemory/region/x/register",
    "/v2/systemsharedmemory/unregister",
    "/v2/cudasharedmemory/region/x/register",
    "/v2/trace/setting",
    "/v2/models/vfnet/trace/setting",
    "/v2/models/vfnet_detector/trace/setting",
    "/v2/logging",
]
SPELLINGS = [
    "//v2/repository/index",
    "/v2//repository/index",
    "/v2/repository/index/",
    "/v2/repository/index?x=1",
    "/v2/./repository/index",
    "/v2/x/../repository/index",
    "/%76%32/repository/index",
    "/v2/%72epository/index",
    "/v2/repository%2Findex",
    "/V2/Repository/Index",
    "/v2/repository/models/vfnet%5Fdetector/unload",
    "/v2/repository/models/vfnet/versions/1/unload",
    "/v2/repository/models//vfnet/unload",
    "/v2/repository/models/vfnet/unload#x",
    "/v2/repository/models/vfnet/unload;x",
]


@pytest.mark.served
@pytest.mark.parametrize("path", STEPS + OTHERS + SPELLINGS)
def test_nothing_is_controlled_over_http_without_the_secret(closed: ServedRepository, path: str) -> None:
    for headers in ({}, {"vfnet-control": ""}, {"vfnet-control": "wrong"}, {"triton-grpc-protocol-vfnet-control": "x"}):
        assert post(closed, path, CONFIG, headers) in (400, 403, 404, 405)


@pytest.mark.served
def test_every_api_is_refused_by_name(closed: ServedRepository) -> None:
    for path in STEPS + OTHERS:
        assert post(closed, path, CONFIG) == 403, path


GRPC: dict[str, Callable[[Any], Any]] = {
    "index": lambda client: client.get_model_repository_index(),
    "load": lambda client: client.load_model("vfnet_detector", config="{}", files={"file:1/model.py": b"print(1)"}),
    "unload": lambda client: client.unload_model("vfnet_postprocess"),
    "register": lambda client: client.register_system_shared_memory("x", "/x", 8),
    "unregister": lambda client: client.unregister_system_shared_memory(),
    "status": lambda client: client.get_system_shared_memory_status(),
    "cuda": lambda client: client.unregister_cuda_shared_memory(),
    "trace": lambda client: client.get_trace_settings(),
    "trace of a step": lambda client: client.update_trace_settings("vfnet_detector", {"trace_file": "/tmp/x"}),
    "log": lambda client: client.update_log_settings({"log_file": "/tmp/x"}),
}


@pytest.mark.served
@pytest.mark.parametrize("call", GRPC)
def test_nothing_is_controlled_over_grpc_without_the_secret(closed: ServedRepository, call: str) -> None:
    address = closed.grpc_url.removeprefix("grpc://")
    with (
        tritonclient.grpc.InferenceServerClient(address) as client,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        GRPC[call](client)


@pytest.mark.served
def test_everything_serves_as_before_after_all_that(closed: ServedRepository) -> None:
    assert document(closed, strip_png())
    assert closed.log.read_text().count("replacing it") == 0
    with tritonclient.grpc.InferenceServerClient(closed.grpc_url.removeprefix("grpc://")) as client:
        assert client.is_server_ready()
        assert client.get_inference_statistics("vfnet").model_stats
        assert client.get_model_metadata("vfnet").name == "vfnet"


@pytest.mark.served
def test_who_has_the_secret_controls_it(closed: ServedRepository) -> None:
    file = control(closed)
    assert stat.S_IMODE((closed.log.parent / "control.json").stat().st_mode) == 0o600
    assert post(closed, "/v2/repository/index", headers=file["http_headers"]) == 200
    with tritonclient.grpc.InferenceServerClient(closed.grpc_url.removeprefix("grpc://")) as client:
        assert client.get_model_repository_index(headers=file["grpc_metadata"]).models


@pytest.mark.served
def test_the_secret_stands_in_no_arguments_and_no_log(closed: ServedRepository) -> None:
    secret = control(closed)["http_headers"]["vfnet-control"]
    serve = psutil.Process(closed.process.pid)
    processes = [serve, *serve.children(recursive=True)]
    assert len(processes) > 4
    for process in processes:
        assert secret not in " ".join(process.cmdline())
        if process.name().startswith("triton_python"):
            assert secret not in process.environ().values()
            assert not any(secret in value for value in process.environ().values())
    assert secret not in closed.log.read_text()
    assert "other accounts" not in closed.log.read_text()


@pytest.mark.served
def test_triton_and_its_models_inherit_no_keys(closed: ServedRepository) -> None:
    for process in psutil.Process(closed.process.pid).children(recursive=True):
        inherited = process.environ()
        assert not inherited.keys() & KEYS.keys()
        assert not set(inherited.values()) & set(KEYS.values())


@pytest.mark.served
def test_the_file_goes_with_the_server(demo_repository: Path, tmp_path: Path) -> None:
    with serving(demo_repository, tmp_path, NO_OP):
        assert (tmp_path / "control.json").exists()
    assert not (tmp_path / "control.json").exists()


PROGRAM = "import os, sys; print(sys.argv[1:], [name for name in os.environ if name.startswith('VFNET_ARGUMENT')])"


def test_no_moment_shows_a_hidden_argument() -> None:
    """The command line is read as fast as can be from before it is the command until it has ended."""
    seen: set[str] = set()
    started: list[int] = []

    def read() -> None:
        while not started or Path(f"/proc/{started[0]}").exists():
            for path in [Path(f"/proc/{pid}/cmdline") for pid in started] or Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if "hidden_argument_probe" in (text := path.read_text(errors="replace")):
                        seen.add(text)
                except OSError:
                    pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    command = [sys.executable, "-c", PROGRAM + " # hidden_argument_probe"]
    process = start_with_hidden(
        command, {"--one": "geheim=1", "--two": "geheim,2"}, os.environ, stdout=subprocess.PIPE, text=True
    )
    started.append(process.pid)
    said, _ = process.communicate(timeout=30)
    reader.join(10)
    assert said == "['--one=geheim=1', '--two=geheim,2'] []\n"
    assert process.returncode == 0
    assert seen
    assert not any("geheim" in text for text in seen)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    process = start_with_hidden(
        [missing], {"--a": "b"}, os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, f"{missing}: No such file or directory\n")


def test_where_tracing_is_forbidden_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = [sys.executable, "-c", f"import sys; sys.exit({MAY_NOT_BE_TRACED})"]
    monkeypatch.setattr("vfnet_serve.hidden_arguments.terminated_with_parent", lambda *_, **__: refuse)
    with pytest.raises(TracingForbiddenError):
        start_with_hidden(["true"], {"--a": "b"}, os.environ, stdout=subprocess.PIPE, text=True)


@pytest.mark.served
def test_a_killed_process_is_replaced_all_the_same(closed: ServedRepository) -> None:
    closed.model_processes("vfnet_postprocess")[0].kill()
    assert eventually(lambda: "vfnet_postprocess serves again" in closed.log.read_text(), 60)
    assert document(closed, strip_png())
