"""Whatever is sent to the KServe door, the answer is one of the protocol's, and nothing of the server's insides."""

from __future__ import annotations

import json

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from fuzzing import JSON, LEAK, SCALARS, examples
from gateway_process import RunningGateway
from kserve_requests import SERVICE, STRIP, base64_input, channel, infer_message, post_binary, post_json
from served_inference import OPTION_TYPES

pytestmark = pytest.mark.served

FIXTURE_IS_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
OPTIONS = tuple(name.upper() for name in OPTION_TYPES)
TENSORS = st.fixed_dictionaries(
    {"name": st.sampled_from(["IMAGE", *OPTIONS, "PIXELS"]) | SCALARS},
    optional={
        "shape": st.just([1]) | st.lists(st.integers(), max_size=3) | JSON,
        "datatype": st.sampled_from(["BYTES", "FP32", "INT32"]) | JSON,
        "data": st.just([base64_input()["data"][0]]) | st.lists(st.floats(0, 1), max_size=2) | JSON,
        "parameters": st.fixed_dictionaries(
            {}, optional={"content_type": st.just("base64") | JSON, "binary_data_size": st.integers(0, 100) | JSON}
        )
        | JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | JSON},
    optional={
        "id": st.text(max_size=120) | JSON,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["DETECTIONS", "BOXES"]) | SCALARS, "parameters": JSON}),
            max_size=3,
        )
        | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"priority": st.integers(0, 3) | JSON, "timeout": JSON})
        | JSON,
    },
)


def check(reply: httpx.Response) -> None:
    assert reply.status_code in (200, 400, 504)  # 504: a timeout of a few microseconds is the caller's right
    if reply.status_code != 200:
        assert list(reply.json()) == ["error"]
        assert LEAK.search(reply.text) is None


@settings(max_examples=examples(60), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
@given(body=(REQUESTS | JSON).map(lambda body: json.dumps(body).encode()) | st.binary())
def test_any_json_is_answered(body: bytes, client: httpx.Client) -> None:
    check(post_json(client, body))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
@given(head=REQUESTS, tail=st.binary(max_size=200), length=st.none() | st.integers(-5, 300) | st.just("x"))
def test_any_bytes_after_it_are_answered(head: object, tail: bytes, length: object, client: httpx.Client) -> None:
    check(post_binary(client, head, tail, length))


NAMES = st.sampled_from(["IMAGE", *OPTIONS, "vfnet", "DETECTIONS", ""]) | st.text(max_size=20)
MESSAGES = st.builds(
    lambda model, version, name, datatype, shape, raw, outputs: service_pb2.ModelInferRequest(
        model_name=model,
        model_version=version,
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)],
        raw_input_contents=raw,
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=output) for output in outputs],
    ).SerializeToString(),
    st.just("vfnet") | NAMES,
    st.sampled_from(["", "1"]) | NAMES,
    NAMES,
    st.sampled_from(["BYTES", "FP32"]) | NAMES,
    st.just([1]) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.binary(max_size=100) | st.just(len(STRIP).to_bytes(4, "little") + STRIP), max_size=2),
    st.lists(NAMES, max_size=3),
)
WHOLE = infer_message().SerializeToString()
CUT = st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end])


@settings(max_examples=examples(100), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
@given(message=MESSAGES | CUT | st.binary(max_size=300))
def test_any_message_is_answered(message: bytes, gateway: RunningGateway) -> None:
    with channel(gateway) as opened:
        done = opened.unary_unary(f"{SERVICE}ModelInfer").future(message, timeout=30)
        assert done.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert LEAK.search(done.details()) is None
