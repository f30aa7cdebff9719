"""Headers that ask an answer to tell of itself, or that are only many: `x-vfnet-about`, priority, traces, ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as kserve

from attack import (
    DOOR,
    PATIENCE,
    TRITON,
    Attack,
    AttackList,
    Reply,
    answered,
    answered_or_busy,
    anything,
    call,
    grpc_call,
    grpc_port,
    http,
    post_json,
)
from deployment import Deployment
from malformed_tensors import image_request
from reference_answers import infer_request
from score_requests import GOOD, strip_png
from sweeping import AS_ALLOWED, SWEPT, Case, at_once, sweep

_ABOUT = "x-vfnet-about"
_VALUES = (
    "origin", "steps", "origin,steps", "steps,origin,steps", "", " ", ",", "ORIGIN", "Steps", "origin;steps", "origin, steps",
    "steps" * 500, "steps," * 2000, "," * 8000, "{}", '{"origin": 1}', '"', '\\"', "\\", "\\u0000", "'", "origin%00", "%0d%0a",
    "\u00ff\u00fe", "null", "9" * 5000, "../../etc/passwd", "steps\tx",
)  # fmt: skip
_FLOODED = {
    "x-vfnet-about": "steps,origin", "x-vfnet-priority": "batch", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "tracestate": "a=b", "x-request-id": "r", "azureml-model-deployment": "vfnet", "vfnet-control": "x", "Cookie": "a=b",
    "Server-Timing": "total;dur=1", "x-vfnet-params": "classes", "Accept-Encoding": "gzip",
}  # fmt: skip


def header_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("headers")
    infer = image_request().as_binary_http()
    score = post_json("/score", {"input_data": {"columns": ["image"], "data": [GOOD]}})
    for target, requests in {DOOR: {"/score": score, "KServe": infer}, TRITON: {"KServe": infer}}.items():
        for path, data in requests.items():
            cases: list[Case] = [
                (f"{value[:30]!r}", http(target, _with(data, [(_ABOUT, value)])), _answered_in_one_line)
                for value in _VALUES
            ]
            found.add(f"{path}: what {_ABOUT} may not say", target, sweep(cases), **SWEPT)
            floods = [
                (f"{name} {count} times", http(target, _with(data, [(name, value)] * count)), answered if target == DOOR else anything)
                for name, value in _FLOODED.items() for count in (2, 40)
            ]  # fmt: skip
            found.add(f"{path}: headers several times", target, sweep(floods), **SWEPT)
            many = [(f"x-vfnet-about-{i}", "steps") for i in range(80)]
            found.add(f"{path}: 80 headers of such names", target, http(target, _with(data, many)), allowed=_of(target))
            long = [(_ABOUT, "steps," * 10_000)]
            found.add(f"{path}: 60 kB of {_ABOUT}", target, http(target, _with(data, long)), allowed=_of(target))
            flood = [(f"x-flood-{i}", "y" * 700) for i in range(80)] + [(_ABOUT, "origin,steps")]
            sends = [http(target, _with(data, flood), 60)] * 40
            found.add(f"{path}: 40 callers with 56 kB of headers", target, at_once(sends, answered_or_busy), **SWEPT)  # fmt: skip
        found.add(f"metadata {_ABOUT}", target, sweep(_metadata(target)), **SWEPT)
        found.add(f"parameters named {_ABOUT}", target, sweep(_parameters(target)), **SWEPT)
        asking = _call(target, [(_ABOUT, "origin,steps")])
        found.add("40 who ask and 40 who do not, by gRPC", target, at_once([asking, _call(target, [])] * 40, answered_or_busy), **SWEPT)  # fmt: skip
    found.add("an answer that nobody asked to tell of itself", TRITON, _plain_after_asked, **SWEPT)
    return found.attacks


def _of(target: str) -> Callable[[Reply], bool]:
    return answered if target == DOOR else anything


def _answered_in_one_line(reply: Reply) -> bool:
    return answered(reply) and "\n" not in reply.text.strip()


def _with(data: bytes, headers: list[tuple[str, str]]) -> bytes:
    """A request with each of these headers more, also those of the same name."""
    lines = "".join(f"\r\n{name}: {value}" for name, value in headers)
    return data.replace(b"\r\n\r\n", lines.encode("latin-1") + b"\r\n\r\n", 1)


def _call(target: str, metadata: list[tuple[str, str | bytes]]) -> Callable[[Deployment], Reply]:
    message = infer_request(strip_png(), outputs=("DETECTIONS",)).SerializeToString()
    return lambda deployment: call(grpc_port(deployment, target), "ModelInfer", message, metadata)


def _metadata(target: str) -> list[Case]:
    values = [value for value in _VALUES if value.isascii() and "\t" not in value]
    cases: list[Case] = [(f"{value[:30]!r}", _call(target, [(_ABOUT, value)]), answered) for value in values]
    cases += [
        ("in bytes", _call(target, [(f"{_ABOUT}-bin", b"\xff\xfe\0steps")]), answered),
        ("40 times", _call(target, [(_ABOUT, "steps")] * 40), answered),
        ("with Triton's prefix", _call(target, [(f"triton-grpc-protocol-{_ABOUT}", "steps")]), answered),
    ]
    return cases


def _parameters(target: str) -> list[Case]:
    """Triton hands headers to the models as parameters of the request, and so does whoever calls them so."""
    cases: list[Case] = []
    for value in ("steps", "origin,steps", "", "\x00", "\ud7ff", '"', "x" * 1_000_000, 7, -(2**63), True, 0.5):
        made = image_request()
        made.parameters = {_ABOUT: value}
        cases.append((f"{str(value)[:20]!r}, gRPC", grpc_call(target, "ModelInfer", made.as_grpc()), answered))
        if not isinstance(value, float):  # which Triton's JSON has no kind of parameter for
            cases.append((f"{str(value)[:20]!r}, HTTP", http(target, made.as_binary_http()), answered))
    nothing: Any = image_request().as_grpc()
    nothing.parameters[_ABOUT].SetInParent()
    cases.append(("of no kind", grpc_call(target, "ModelInfer", nothing), _answered_or_unset))
    return cases


def _answered_or_unset(reply: Reply) -> bool:
    return answered(reply) or "parameter" in reply.text.lower()


def _plain_after_asked(deployment: Deployment) -> Reply:
    """Who asks is told; who does not, right before and after, is answered as if nobody had."""
    message = infer_request(strip_png(), outputs=("DETECTIONS",))
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(deployment, TRITON)}") as channel:
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=kserve.ModelInferRequest.SerializeToString,
            response_deserializer=kserve.ModelInferResponse.FromString,
        )

        def document(*metadata: tuple[str, str]) -> bytes:
            return bytes(ask(message, timeout=PATIENCE, metadata=metadata).raw_output_contents[0])

        plain = document()
        for _ in range(10):
            told = document((_ABOUT, "origin,steps"))
            if b'"about": ' not in told or b'"steps": ' not in told:
                return Reply("nothing is told", told[-200:].decode())
            if document() != plain:
                return Reply("another answer", "of one that asks nothing")
    return Reply(AS_ALLOWED)
