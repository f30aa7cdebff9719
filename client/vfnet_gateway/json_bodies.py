"""A request's JSON, bounded before it is parsed, read by orjson and meaning what `json` makes of it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson

from vfnet_client import contract
from vfnet_client.exceptions import RequestError

DEEPEST = 64
"""How deeply a body's lists and objects may be nested; a documented one is four deep."""
MARKS_OF_AN_IMAGE, MARKS_OF_A_REQUEST = 64, 10_000
"""Commas, colons and opening brackets that a body may have for each image that may be in it, and anyway: they bound
the values that a parser makes of it, whose memory and time would otherwise be many times the body's."""
_ON_A_THREAD_FROM = 1 << 20
"""Bytes. orjson reads a megabyte in less than a millisecond: not worth a thread."""
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACKET_RUN = re.compile(rb"[\[{]+|[\]}]+")


async def parse_body(body: bytearray, max_images: int) -> Any:
    """The JSON value of a body, away from the event loop where it takes long.

    Raises:
        RequestError: 413, it has more values than `max_images` images need; 400, it is no JSON, or nested too deeply.
    """
    if len(body) < _ON_A_THREAD_FROM:
        return _bounded_parse(body, max_images)
    return await asyncio.to_thread(_bounded_parse, body, max_images)


def check_bounds(body: bytes | bytearray, most_marks: int, deepest: int = DEEPEST) -> None:
    """See that a parser will not make much more of a JSON text than there is to it.

    Raises:
        RequestError: 413 or 400, with a sentence.
    """
    opening = body.count(b"[") + body.count(b"{")
    closing = body.count(b"]") + body.count(b"}")
    values = opening + body.count(b",") + body.count(b":")
    if max(values, closing) > most_marks or body.count(b'"') > 4 * most_marks:
        raise RequestError(413, f"the JSON has more than {most_marks} values; send fewer images at a time")
    if opening > deepest and _depth(bytes(body)) > deepest:
        raise RequestError(400, f"the JSON is nested too deeply: at most {deepest} levels are read")


def parse_json_quickly(body: bytes | bytearray) -> Any:
    """The value `contract.parse_json` gives, several times sooner.

    Where orjson is stricter (NaN, lone surrogates, other encodings than UTF-8) or has other words for an error, `json`
    has the last word. Where it is laxer, an integer beyond 64 bits became a float: that would show in an `index`, which
    is echoed; anywhere else such a number means the same.

    Raises:
        RequestError: 400, in `json`'s words.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return contract.parse_json(body)
    return contract.parse_json(body) if _index_has_a_float(document) else document


def _bounded_parse(body: bytearray, max_images: int) -> Any:
    check_bounds(body, MARKS_OF_AN_IMAGE * max_images + MARKS_OF_A_REQUEST)
    return parse_json_quickly(body)


def _depth(body: bytes) -> int:
    """How deeply brackets outside of strings are nested; as many steps as there are quotes and brackets."""
    depth = deepest = at = 0
    while True:
        quote = body.find(b'"', at)
        between = body[at : quote if quote >= 0 else len(body)].translate(None, _NOT_BRACKETS)
        for run in _BRACKET_RUN.findall(between):
            depth += len(run) if run[:1] in b"[{" else -len(run)
            deepest = max(deepest, depth)
        if quote < 0:
            return deepest
        at = _end_of_string(body, quote + 1)


def _end_of_string(body: bytes, start: int) -> int:
    """Where the string that begins at `start` is over."""
    at = start
    while True:
        quote = body.find(b'"', at)
        if quote < 0:
            return len(body)
        before = body[at:quote]
        escaped = (len(before) - len(before.rstrip(b"\\"))) % 2
        at = quote + 1
        if not escaped:
            return at


def _index_has_a_float(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    tables = (document.get("input_data"), document.get("dataframe_split"))
    indexes = (table.get("index") for table in tables if isinstance(table, dict))
    return any(isinstance(index, list) and not all(map(_is_exact, index)) for index in indexes)


def _is_exact(value: Any) -> bool:
    # A list or an object is echoed as Python writes it, with the numbers inside: not worth a closer look.
    return value is None or isinstance(value, int | str)
