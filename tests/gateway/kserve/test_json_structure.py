"""JSON looked at before it is parsed."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given

from fuzzing import JSON
from vfnet_client.exceptions import RequestError
from vfnet_gateway.kserve.rest_codec import DEEPEST, check_structure


@given(JSON)
def test_what_is_small_and_flat_passes(value: object) -> None:
    check_structure(json.dumps(value).encode())
    check_structure(json.dumps({"a": ["}" * 50, '"\\' * 20, value]}, ensure_ascii=False).encode("utf-8", "replace"))


def test_a_long_string_passes() -> None:
    check_structure(b'{"data": ["' + b"A" * 50_000_000 + b'"]}')


def test_nesting_is_counted_outside_strings() -> None:
    check_structure(b"[" * DEEPEST + b"]" * DEEPEST)
    check_structure(b'["' + b"[" * 1000 + b'\\"' + b"[" * 1000 + b'"]')
    with pytest.raises(RequestError, match="deeper"):
        check_structure(b"[" * (DEEPEST + 1))
    with pytest.raises(RequestError, match="deeper"):
        check_structure(b'["\\\\"' + b"[" * 1000 + b'"]')


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000_000,
        b'{"a":' * 6_000_000,
        b"[]," * 10_000_000,
        b"0," * 15_000_000,
        b" " * 30_000_000,
        b'"",' * 10_000_000,
        b'"' + b'\\"' * 15_000_000,
        b'"' + b"\\" * 30_000_000 + b'"',
        (b'"' + b"\\" * 255 + b'"') * 100_000,
    ],
    ids=["arrays", "objects", "empty arrays", "numbers", "white space", "strings", "quotes", "backslashes", "both"],
)
def test_what_costs_time_is_refused_at_once(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(RequestError):
        check_structure(body)
    assert time.process_time() - started < 0.5
