"""Whatever text comes in, one printable line comes out, and printable text is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_client.safe_text import is_printable_line, printable_line, shown_reference, without_url_secrets

PRINTABLE = ["", "forklift", "a b", "Straße", "貨物", "👩‍🚒 helmet", "क्‍ष", "a\\nb", "\u00a0wide space\u3000", "עברית"]
SHOWN = {
    "two\nlines": "two\\nlines",
    "back\rover": "back\\rover",
    "\x1b[31mred": "\\x1b[31mred",
    "\x9b31m": "\\x9b31m",
    "tab\there": "tab\\there",
    "\x00": "\\x00",
    "\x7f": "\\x7f",
    "next\x85line": "next\\x85line",
    "line\u2028separator": "line\\u2028separator",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u2066isolated": "\\u2066isolated",
    "zero\u200bwidth": "zero\\u200bwidth",
    "\ufeffbom": "\\ufeffbom",
    "lone \ud800": "lone \\ud800",
    "byte \udcff": "byte \\udcff",
    "\ue000": "\\ue000",
    "\U000e0001": "\\U000e0001",
}


@pytest.mark.parametrize("text", PRINTABLE)
def test_printable_text_is_left_alone(text: str) -> None:
    assert is_printable_line(text)
    assert printable_line(text, 100) == text


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=map(ascii, SHOWN))
def test_what_cannot_be_shown_is_escaped(text: str, shown: str) -> None:
    assert not is_printable_line(text)
    assert printable_line(text, 100) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcd\x1b", 8, "abcd\\x1b"),
        ("abcd\x1b", 7, "abcd…"),  # an escape is never cut into
        ("\x1b", 1, "…"),
        ("x" * 10**8, 3, "xx…"),
    ],
    ids=["fits", "one too many", "escape fits", "escape does not", "no room", "a hundred megabytes"],
)
def test_a_long_text_is_cut_at_the_limit(text: str, limit: int, shown: str) -> None:
    assert printable_line(text, limit) == shown


def test_a_limit_without_room_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="limit 0"):
        printable_line("", 0)


@given(st.text(st.characters(), max_size=40), st.integers(1, 60))
def test_any_text_becomes_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    line = printable_line(text, limit)
    assert is_printable_line(line)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    line.encode()
    assert printable_line(line, limit) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see 'https://h/a.jpg?sv=1&sig=S%3D': no", "see 'https://h/a.jpg?***': no"),
        ("https://user:secret@h/a.jpg", "https://h/a.jpg"),
        ("s3://bucket/key?versionId=1 and http://h/b", "s3://bucket/key?*** and http://h/b"),
        ("what? a:b@c", "what? a:b@c"),
        ("https://h/a.jpg?***", "https://h/a.jpg?***"),
    ],
)
def test_urls_lose_what_they_are_signed_with(text: str, shown: str) -> None:
    assert without_url_secrets(text) == shown


def test_a_reference_that_is_a_url_keeps_nothing_behind_its_question_mark() -> None:
    assert shown_reference("https://u:p@h/a.jpg?sig=a b 'c'") == "https://h/a.jpg?***"
    assert shown_reference("photos/what?.jpg") == "photos/what?.jpg"


def test_a_long_reference_takes_no_longer_than_its_length() -> None:
    slow = "a://" * 50_000
    assert shown_reference(slow) == slow
