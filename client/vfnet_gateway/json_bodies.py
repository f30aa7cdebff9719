"""A request's JSON, read by orjson and meaning what `json` makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from vfnet_client import contract

_ON_A_THREAD_FROM = 1 << 20
"""Bytes. orjson reads a megabyte in less than a millisecond: not worth a thread."""


async def parse_body(body: bytearray) -> Any:
    """`parse_json_quickly`, away from the event loop where it takes long."""
    if len(body) < _ON_A_THREAD_FROM:
        return parse_json_quickly(body)
    return await asyncio.to_thread(parse_json_quickly, body)


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


def _index_has_a_float(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    tables = (document.get("input_data"), document.get("dataframe_split"))
    indexes = (table.get("index") for table in tables if isinstance(table, dict))
    return any(isinstance(index, list) and not all(map(_is_exact, index)) for index in indexes)


def _is_exact(value: Any) -> bool:
    # A list or an object is echoed as Python writes it, with the numbers inside: not worth a closer look.
    return value is None or isinstance(value, int | str)
