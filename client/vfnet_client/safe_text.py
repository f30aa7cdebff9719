"""Text of strangers (labels, file names, a server's messages) made fit for one line of a terminal, a log or a file.

A control character moves the cursor or starts a terminal's command, a line break forges a line, a bidirectional
override shows a text in another order than it is read in, and a lone surrogate is no text at all: it cannot be written
as UTF-8.
"""

from __future__ import annotations

import re
import unicodedata

_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of control characters, surrogates, private use, unassigned code points, and breaks of lines
and paragraphs. Format characters (Cf) are looked at one by one: emoji and Indic scripts are joined by some."""
_INVISIBLE_FORMAT = frozenset(
    chr(code)
    for first, last in (
        (0x00AD, 0x00AD),  # soft hyphen
        (0x061C, 0x061C),  # Arabic letter mark
        (0x180E, 0x180E),  # Mongolian vowel separator
        (0x200B, 0x200B),  # zero-width space
        (0x200E, 0x200F),  # left-to-right and right-to-left marks
        (0x202A, 0x202E),  # embeddings and overrides of direction
        (0x2060, 0x206F),  # word joiner, invisible operators, isolates of direction
        (0xFEFF, 0xFEFF),  # byte order mark
        (0xFFF9, 0xFFFB),  # interlinear annotation
        (0xE0001, 0xE0001),  # language tag
    )
    for code in range(first, last + 1)
)
_ELLIPSIS = "…"
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^/?#\s@\"'<>]{1,500}@", re.IGNORECASE)
_URL_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^?#\s\"'<>]*\?)[^\s\"'<>]+", re.IGNORECASE)
_A_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)
_MARKUP = re.compile(r"[\\`*\[\]<>|$~]|&(?=#?\w+;)|^(?:[#+=-]|\d+[.)](?=\s))")
"""What Markdown could take for its own. An underscore within a word is none, and classes are called so."""


def is_printable_line(text: str) -> bool:
    """Whether a text can be shown and stored as it is: one line, no control or direction character, valid UTF-8."""
    return text.isprintable() or not any(map(_must_be_escaped, text))


def printable_line(text: str, limit: int = 200) -> str:
    """A text as one printable line: what cannot be shown becomes an escape that can (`\\n`, `\\x1b`, `\\u202e`).

    Printable text comes back unchanged, unless it is longer than `limit`; what came out of here does, too.

    Args:
        text: of any origin and length; no more of it than `limit` characters is looked at.
        limit: the most characters of the result, at least 1. A longer text is cut and ends in an ellipsis.
    """
    if limit < 1:
        raise ValueError(f"a line needs room for a character, got limit {limit}")
    start = text[: limit + 1]
    if len(start) <= limit and start.isprintable():
        return start
    pieces: list[str] = []
    room = limit
    for character in start:
        piece = _escape(character) if _must_be_escaped(character) else character
        room -= len(piece)
        if room < 0:
            return _cut(pieces, limit)
        pieces.append(piece)
    return "".join(pieces)


def printable_lines(text: str, limit: int = 1000) -> str:
    """A text of several lines of our own, each made printable; `limit` is of each line."""
    return "\n".join(printable_line(line, limit) for line in text.split("\n"))


def markdown_text(text: str, limit: int = 200) -> str:
    """A text as one line of Markdown that shows just these characters: no markup, no HTML, no further table cell."""
    return _MARKUP.sub(r"\\\g<0>", printable_line(text, limit))


def without_url_secrets(text: str) -> str:
    """A text whose URLs have lost user names, passwords and whatever follows their `?`: signatures stand there.

    What came out of here comes back unchanged.
    """
    return _URL_QUERY.sub(r"\1***", _URL_USER.sub(r"\1", text)) if "://" in text else text


def shown_reference(reference: str) -> str:
    """What an image is called, a path or a URL, in answers and files: a URL without its secrets."""
    if not _A_URL.match(reference):
        return reference
    place, mark, query = reference.partition("?")
    return _URL_USER.sub(r"\1", place) + (f"{mark}***" if query else mark)


def _cut(pieces: list[str], limit: int) -> str:
    """Whole characters and escapes, as many as leave room for the ellipsis."""
    length = sum(map(len, pieces))
    while pieces and length > limit - len(_ELLIPSIS):
        length -= len(pieces.pop())
    return "".join(pieces) + _ELLIPSIS


def _must_be_escaped(character: str) -> bool:
    if character.isascii():
        return not character.isprintable()
    return unicodedata.category(character) in _UNPRINTABLE or character in _INVISIBLE_FORMAT


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
