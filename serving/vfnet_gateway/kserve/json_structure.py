"""A look at JSON before it is parsed: how deep it nests, and how much there is of it beside its strings."""

from __future__ import annotations

import re

from vfnet_client.exceptions import RequestError

DEEPEST = 16
"""Objects and arrays within each other; a request that anybody needs has five."""
MOST_BYTES_BETWEEN_STRINGS = 1 << 16
MOST_STRINGS = 2000
_MOST_BACKSLASHES = 256
"""Before a quote: they are counted one by one."""
_MARK = re.compile(rb'["\[\]{}]')


def check_structure(text: bytes | bytearray) -> None:
    """Let JSON pass whose parsing costs no more than its strings.

    Takes time for strings and their quotes only by the length that `bytes.find` needs, and for anything else to the
    limits: a body of brackets, of numbers or of white space is refused at its beginning.

    Raises:
        RequestError: 400.
    """
    position = depth = strings = 0
    left = MOST_BYTES_BETWEEN_STRINGS
    while position < len(text):
        found = _MARK.search(text, position, position + left)
        if found is None:
            if len(text) - position > left:
                raise RequestError(400, "the request's JSON has more to it than an inference request needs")
            return
        left -= found.end() - position
        position = found.end()
        mark = found[0]
        if mark == b'"':
            strings += 1
            position = _end_of_string(text, position, MOST_STRINGS - strings)
            if strings > MOST_STRINGS or position < 0:
                raise RequestError(
                    400, "the request's JSON has more strings or escapes than an inference request needs"
                )
        else:
            depth += 1 if mark in b"[{" else -1
            if depth > DEEPEST:
                raise RequestError(400, f"the request's JSON nests deeper than {DEEPEST} levels")


def _end_of_string(text: bytes | bytearray, start: int, most_escaped_quotes: int) -> int:
    """The position after a string's closing quote; the text's end where there is none; -1 beyond so many escapes."""
    position = start
    for _ in range(most_escaped_quotes + 1):
        quote = text.find(b'"', position)
        if quote < 0:
            return len(text)
        backslashes = 0
        while quote - backslashes > position and text[quote - backslashes - 1] == 0x5C:
            backslashes += 1
            if backslashes > _MOST_BACKSLASHES:
                return -1
        position = quote + 1
        if backslashes % 2 == 0:
            return position
    return -1
