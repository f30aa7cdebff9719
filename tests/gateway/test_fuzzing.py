"""Whatever is sent to the gateway, the answer is the documented one: no 5xx, nothing of its insides."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fuzzing import BODIES, JSON, LEAK, examples
from gateway_process import RunningGateway
from score_requests import post
from vfnet_gateway.swagger import description

pytestmark = pytest.mark.served

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
FIXTURE_IS_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
SCHEMA = schemathesis.openapi.from_dict(json.loads(description("3.1")))


@SCHEMA.parametrize()
@settings(max_examples=examples(15), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
def test_what_the_description_says_holds(case: Any, gateway: RunningGateway) -> None:
    reply = case.call_and_validate(base_url=gateway.address, checks=CHECKS)
    assert LEAK.search(reply.text) is None or case.path in ("/swagger.json", "/metrics", "/ui/info")


@pytest.mark.parametrize("path", ["/score", "/invocations"])
@settings(max_examples=examples(60), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
@given(body=(BODIES | JSON).map(lambda body: json.dumps(body).encode()) | st.binary())
def test_any_body_is_answered(path: str, body: bytes, client: httpx.Client) -> None:
    reply = post(client, body, path)
    assert reply.status_code in (200, 400, 422)
    answer = reply.json()
    if reply.status_code == 400:
        assert list(answer) == ["message"]
        assert LEAK.search(reply.text) is None
    if reply.status_code == 422:
        assert all(LEAK.search(error["reason"]) is None for error in answer["errors"])


@settings(max_examples=examples(60), deadline=None, suppress_health_check=FIXTURE_IS_SHARED)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40), st.sampled_from(["GET", "PUT", "POST"])
)
def test_any_path_is_answered(client: httpx.Client, path: str, method: str) -> None:
    reply = client.request(method, httpx.URL(client.base_url, raw_path=b"/" + path.replace("#", "").encode()))
    assert reply.status_code < 500
    assert LEAK.search(reply.text) is None or reply.status_code == 200
