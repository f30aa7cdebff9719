"""The control plane: what loads models, maps memory and writes files is for the watchdog alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tritonclient.grpc import service_pb2 as kserve

from attack import (
    DOOR,
    TRITON,
    Allowed,
    Attack,
    AttackList,
    Reply,
    exchange,
    grpc_call,
    http,
    http_port,
    post_json,
    refused,
    request,
    restricted,
)
from deployment import Deployment

NAMES = ("vfnet", "vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")
_CODE = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
class TritonPythonModel:
    pass
"""


def control_plane_attacks() -> list[Attack]:
    """All of them, against Triton's ports and the door's."""
    found = AttackList("control plane")
    for name, path, body in _http_requests():
        for target, allowed in ((TRITON, restricted), (DOOR, refused)):
            found.add(f"POST {name}", target, http(target, post_json(path, body)), allowed=allowed)
    for spelling in _SPELLINGS:
        found.add(f"index as {spelling[:60]!r}", TRITON, http(TRITON, post_json(spelling, {})), allowed=restricted)
    for spelling in _SPELLINGS[:6]:
        found.add(f"index as {spelling[:60]!r}", DOOR, http(DOOR, post_json(spelling, {})))
    _add_guessed_secrets(found)
    for method in ("GET", "PUT", "DELETE", "PATCH", "post", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"):
        data = request(method, "/v2/repository/index", b"{}")
        found.add(f"{method} of the index", TRITON, http(TRITON, data), allowed=restricted)
        found.add(f"{method} of the index", DOOR, http(DOOR, data), allowed=_no_index)
    for path in ("/v2/trace/setting", "/v2/models/vfnet/trace/setting", "/v2/logging"):
        found.add(f"GET {path}", TRITON, http(TRITON, request("GET", path)), allowed=restricted)
    for name, method, message in _grpc_requests():
        found.add(f"gRPC {name}", TRITON, grpc_call(TRITON, method, message), allowed=restricted)
        found.add(f"gRPC {name}", DOOR, grpc_call(DOOR, method, message))
    found.add("code in a load, HTTP", TRITON, _run_code_over_http(TRITON), allowed=_did_not_run(restricted))
    found.add("code in a load, HTTP", DOOR, _run_code_over_http(DOOR), allowed=_did_not_run(refused))
    found.add("code in a load, text/plain of a web page", TRITON, _run_code_over_http(TRITON, from_a_page=True),
              allowed=_did_not_run(restricted))  # fmt: skip
    found.add("code in a load, gRPC", TRITON, _run_code_over_grpc, allowed=_did_not_run(restricted))
    return found.attacks


def _no_index(reply: Reply) -> bool:
    return refused(reply) or (reply.outcome in ("200", "204") and "vfnet" not in reply.text)


def _http_requests() -> list[tuple[str, str, dict[str, Any]]]:
    region = {"key": "/vfnet-hostile", "offset": 0, "byte_size": 64}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("index", "/v2/repository/index", {}),
        ("index, ready only", "/v2/repository/index", {"ready": True}),
        ("index of a named repository", "/v2/repository/other/index", {}),
        ("load of an unknown model", "/v2/repository/models/stranger/load", {}),
        ("load with a configuration", "/v2/repository/models/vfnet/load", {"parameters": {"config": "{}"}}),
        ("system memory status", "/v2/systemsharedmemory/status", {}),
        ("system memory register", "/v2/systemsharedmemory/region/r/register", region),
        ("system memory unregister", "/v2/systemsharedmemory/unregister", {}),
        ("system memory unregister one", "/v2/systemsharedmemory/region/r/unregister", {}),
        ("CUDA memory status", "/v2/cudasharedmemory/status", {}),
        ("CUDA memory register", "/v2/cudasharedmemory/region/r/register",
         {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 64}),
        ("CUDA memory unregister", "/v2/cudasharedmemory/unregister", {}),
        ("trace settings", "/v2/trace/setting", {"trace_file": "/tmp/vfnet-hostile", "trace_level": ["TENSORS"]}),
        ("trace settings of a model", "/v2/models/vfnet/trace/setting", {"trace_level": ["TIMESTAMPS"]}),
        ("log settings", "/v2/logging", {"log_file": "/tmp/vfnet-hostile-log", "log_verbose_level": 9}),
    ]  # fmt: skip
    for name in NAMES:
        models = f"/v2/repository/models/{name}"
        requests += [
            (f"unload of {name}", f"{models}/unload", {}),
            (f"unload of {name} and what it needs", f"{models}/unload",
             {"parameters": {"unload_dependents": True}}),
            (f"load of {name}", f"{models}/load", {}),
            (f"unload of {name} in a named repository", f"/v2/repository/r/models/{name}/unload", {}),
        ]  # fmt: skip
    return requests


_SPELLINGS = (
    "//v2/repository/index",
    "/v2//repository/index",
    "/v2/repository//index",
    "/v2/./repository/index",
    "/v2/health/../repository/index",
    "/v2/%72epository/index",
    "/v2/repository%2findex",
    "/v2/repository/index/",
    "/v2/repository/index?x=1",
    "/v2/repository/index#x",
    "/v2/repository/index;x",
    "/v2/repository/index%00",
    "/v2/repository/index%20",
    "/V2/Repository/Index",
    "/v2\\repository\\index",
    "v2/repository/index",
    "http://127.0.0.1/v2/repository/index",
    "http://elsewhere.test/v2/repository/index",
    "/%2e/v2/repository/index",
    "/v2/models/../repository/index",
    "/v2/repository/%2e%2e/repository/index",
    "/v2/repository/vfnet/vfnet/index",
    "/v2/repository/ind\u0456x",
    "/v2/re\tpository/index",
    "/" * 5000 + "v2/repository/index",
    "/v2/repository/models/vfnet%2f..%2fvfnet/unload",
    "/v2/repository/models/%76fnet/unload",
    "/v2/repository/models//unload",
    "/v2/repository/models/../models/vfnet/unload",
    "/v2/repository/models/vfnet/unload?force",
    "/v2/models/vfnet/versions/1/unload",
    "/v2/models/vfnet/unload",
)


def _add_guessed_secrets(found: AttackList) -> None:
    guesses = ("", " ", "x", "vfnet", "true", "null", "0", "*", "A" * 43, "A" * 100_000, "\x7f", "secret\tsecret")
    for guess in guesses:
        for header in ("vfnet-control", "VFNET-CONTROL"):
            data = post_json("/v2/repository/index", {}, {header: guess})
            found.add(
                f"index with {header}: {guess[:12]!r}, {len(guess)} letters",
                TRITON,
                http(TRITON, data),
                allowed=restricted,
            )
    twice = request("POST", "/v2/repository/index", b"{}", {"vfnet-control": "a\r\nvfnet-control: b"})
    found.add("index with two secrets", TRITON, http(TRITON, twice), allowed=restricted)
    override = post_json("/v2/health/ready", {}, {"X-Original-URL": "/v2/repository/index"})
    found.add(
        "index by X-Original-URL", TRITON, http(TRITON, override), allowed=lambda reply: "vfnet" not in reply.text
    )
    for name in ("vfnet-control", "triton-grpc-protocol-vfnet-control"):
        for guess in ("", "x", "A" * 43):
            send = grpc_call(TRITON, "RepositoryIndex", kserve.RepositoryIndexRequest(), [(name, guess)])
            found.add(f"gRPC index with {name}: {guess[:8]!r}", TRITON, send, allowed=restricted)


def _grpc_requests() -> list[tuple[str, str, Any]]:
    def load(name: str, **parameters: str) -> Any:
        message = kserve.RepositoryModelLoadRequest(model_name=name)
        for key, value in parameters.items():
            message.parameters[key].string_param = value
        return message

    requests: list[tuple[str, str, Any]] = [
        ("index", "RepositoryIndex", kserve.RepositoryIndexRequest()),
        ("index of a named repository", "RepositoryIndex", kserve.RepositoryIndexRequest(repository_name="r")),
        ("load with a configuration", "RepositoryModelLoad", load("vfnet", config="{}")),
        ("system memory status", "SystemSharedMemoryStatus", kserve.SystemSharedMemoryStatusRequest()),
        ("system memory register", "SystemSharedMemoryRegister",
         kserve.SystemSharedMemoryRegisterRequest(name="r", key="/vfnet-hostile", byte_size=64)),
        ("system memory unregister", "SystemSharedMemoryUnregister", kserve.SystemSharedMemoryUnregisterRequest()),
        ("CUDA memory status", "CudaSharedMemoryStatus", kserve.CudaSharedMemoryStatusRequest()),
        ("CUDA memory register", "CudaSharedMemoryRegister",
         kserve.CudaSharedMemoryRegisterRequest(name="r", raw_handle=bytes(64), byte_size=64)),
        ("CUDA memory unregister", "CudaSharedMemoryUnregister", kserve.CudaSharedMemoryUnregisterRequest()),
        ("trace settings", "TraceSetting", kserve.TraceSettingRequest()),
        ("trace settings of a model", "TraceSetting", kserve.TraceSettingRequest(model_name="vfnet")),
        ("log settings", "LogSettings", kserve.LogSettingsRequest()),
    ]  # fmt: skip
    for name in NAMES:
        requests.append(
            (f"unload of {name}", "RepositoryModelUnload", kserve.RepositoryModelUnloadRequest(model_name=name))
        )
        requests.append((f"load of {name}", "RepositoryModelLoad", load(name)))
    return requests


def _marker(deployment: Deployment) -> Path:
    return deployment.temporary.with_name("code-ran")


def _run_code_over_http(target: str, *, from_a_page: bool = False) -> Any:
    def send(deployment: Deployment) -> Reply:
        code = _CODE.format(marker=str(_marker(deployment))).encode()
        config = {"name": "stranger", "backend": "python", "max_batch_size": 0}
        parameters = {"config": json.dumps(config), "file:1/model.py": base64.b64encode(code).decode()}
        page = {"Content-Type": "text/plain", "Origin": "https://page.test", "Sec-Fetch-Site": "cross-site"}
        data = post_json(
            "/v2/repository/models/stranger/load", {"parameters": parameters}, page if from_a_page else None
        )
        return _with_marker(deployment, exchange(http_port(deployment, target), data))

    return send


def _run_code_over_grpc(deployment: Deployment) -> Reply:
    message = kserve.RepositoryModelLoadRequest(model_name="stranger_too")
    config = {"name": "stranger_too", "backend": "python", "max_batch_size": 0}
    message.parameters["config"].string_param = json.dumps(config)
    code = _CODE.format(marker=str(_marker(deployment))).encode()
    message.parameters["file:1/model.py"].bytes_param = code
    return _with_marker(deployment, grpc_call(TRITON, "RepositoryModelLoad", message)(deployment))


def _with_marker(deployment: Deployment, reply: Reply) -> Reply:
    marker = _marker(deployment)
    if not marker.exists():
        return reply
    marker.unlink()
    return Reply(reply.outcome, f"THE CODE RAN; {reply.text}")


def _did_not_run(allowed: Allowed) -> Allowed:
    return lambda reply: allowed(reply) and "THE CODE RAN" not in reply.text
