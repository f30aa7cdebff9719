"""orjson reads what the contract's parser reads, and means the same by it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import BODIES, JSON, examples
from vfnet_client.contract import decode_image_item, parse_json, read_score_request
from vfnet_client.exceptions import ImageItemError, RequestError
from vfnet_gateway.json_bodies import parse_json_quickly


def meaning(read: Any, body: bytes) -> str:
    """What a caller would notice of a body: the refusal, or the index, the threshold and what the items are."""
    try:
        request = read_score_request(read(body))
    except RequestError as error:
        return f"{error.status} {error}"
    items = []
    for item in request.items:
        try:
            items.append(repr(decode_image_item(item)))
        except ImageItemError as error:
            items.append(str(error))
    return repr((items, request.index, request.parameters.options))


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_data": {"columns": ["image"], "index": [18446744073709551616, 1e5], "data": [1, 2]}}',
        b'{"input_data": {"columns": ["image"], "index": [[18446744073709551616]], "data": [1]}}',
        b'{"input_data": {"columns": ["image"], "index": [NaN, -Infinity], "data": [1, 2]}}',
        b'{"input_data": {"columns": ["image"], "index": ["\\ud800"], "data": ["\\udfff"]}}',
        b'{"input_data": 1, "input_data": {"columns": ["image"], "data": ["AAAA"]}}',
        b'\xef\xbb\xbf{"input_data": {"columns": ["image"]}}',
        '{"input_data": {"columns": ["image"], "data": ["AAAA"]}}'.encode("utf-16"),
        b'{"input_data": {"columns": ["image"]}, "params": {"box_score_threshold": 1e400}}',
        b'{"input_data": {"columns": ["image"]}, "params": {"box_score_threshold": -0}}',
        b"{'input_data': 1}",
        b'{"input_data": }',
        b'{"a": 1,}',
        b"[" * 2000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\xfd",
        b"",
        b" ",
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_a_body_means_the_same_to_both_parsers(body: bytes) -> None:
    assert meaning(parse_json_quickly, body) == meaning(parse_json, body)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.one_of(BODIES.map(json.dumps), JSON.map(json.dumps), st.text()).map(lambda text: text.encode(errors="replace"))
)
def test_any_body_means_the_same_to_both_parsers(body: bytes) -> None:
    assert meaning(parse_json_quickly, body) == meaning(parse_json, body)


@settings(max_examples=examples(300), deadline=None)
@given(BODIES.map(json.dumps), st.integers(0, 200), st.binary(max_size=3))
def test_any_damaged_body_means_the_same_to_both_parsers(text: str, at: int, damage: bytes) -> None:
    body = text.encode()[:at] + damage + text.encode()[at:]
    assert meaning(parse_json_quickly, body) == meaning(parse_json, body)
