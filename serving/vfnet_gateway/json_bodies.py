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
_QUOTES_AT_ONCE = 2000
"""Looked at in the event loop; more are looked at on a thread."""
_NOT_MARKS = bytes(set(range(256)) - set(b"[]{},:"))
_BRACKETS = re.compile(rb"[\[{]+|[\]}]+")
_BACKSLASH = ord("\\")


async def parse_body(body: bytearray, max_images: int) -> Any:
    """The JSON value of a body, away from the event loop where it takes long.

    Raises:
        RequestError: 413, it has more values than `max_images` images need; 400, it is no JSON, or nested too deeply.
    """
    most = MARKS_OF_AN_IMAGE * max_images + MARKS_OF_A_REQUEST
    if len(body) < _ON_A_THREAD_FROM and _is_within_bounds(body, most, DEEPEST, most_quotes=_QUOTES_AT_ONCE):
        return parse_json_quickly(body)
    return await asyncio.to_thread(_bounded_parse, body, most)


def check_bounds(body: bytes | bytearray, most_marks: int, deepest: int = DEEPEST) -> None:
    """See that a parser will not make much more of a JSON text than there is to it.

    Args:
        most_marks: commas, colons and brackets outside of strings.
        deepest: levels of lists and objects.

    Raises:
        RequestError: 413 or 400, with a sentence.
    """
    if not _is_within_bounds(body, most_marks, deepest, most_quotes=4 * most_marks):
        raise _too_many_values(most_marks)


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


def _bounded_parse(body: bytearray, most_marks: int) -> Any:
    check_bounds(body, most_marks)
    return parse_json_quickly(body)


def _too_many_values(most_marks: int) -> RequestError:
    return RequestError(413, f"the JSON has more than {most_marks} values; send fewer images at a time")


def _is_within_bounds(body: bytes | bytearray, most_marks: int, deepest: int, *, most_quotes: int) -> bool:
    """False where there are more quotes. One search for quotes, which is quick over base64, and a look between them.

    Raises:
        RequestError: as `check_bounds`.
    """
    marks = depth = quotes = at = 0
    while True:
        opening = body.find(b'"', at)
        found = body[at : opening if opening >= 0 else len(body)].translate(None, _NOT_MARKS)
        if found:
            marks += len(found)
            if marks > most_marks:
                raise _too_many_values(most_marks)
            for run in _BRACKETS.findall(found):
                depth += len(run) if run[:1] in b"[{" else -len(run)
                if depth > deepest:
                    raise RequestError(400, f"the JSON is nested too deeply: at most {deepest} levels are read")
        if opening < 0:
            return True
        at, is_escaped = opening + 1, True
        while is_escaped:
            closing = body.find(b'"', at)
            quotes += 1
            if closing < 0 or quotes > most_quotes:  # a string that does not end is the parser's affair
                return closing < 0
            is_escaped = body[closing - 1] == _BACKSLASH and _ends_in_an_escape(body[at:closing])
            at = closing + 1


def _ends_in_an_escape(text: bytes | bytearray) -> bool:
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1


def _index_has_a_float(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    tables = (document.get("input_data"), document.get("dataframe_split"))
    indexes = (table.get("index") for table in tables if isinstance(table, dict))
    return any(isinstance(index, list) and not all(map(_is_exact, index)) for index in indexes)


def _is_exact(value: Any) -> bool:
    # A list or an object is echoed as Python writes it, with the numbers inside: not worth a closer look.
    return value is None or isinstance(value, int | str)
