"""What a server says of its answer is taken out of it, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vfnet_client.answer_about import HEADER, ORIGIN, STEPS, About, about_headers, asking_about, without_about

DOCUMENT = json.dumps({"boxes": [{"label": 'x", "about": {"', "score": 0.5}]}).encode()
TOLD: dict[str, Any] = {"answered_by": "vfnet.2", "checkpoint": "5f0c29aa01234567"}


def saying(about: object) -> bytes:
    return DOCUMENT[:-1] + b', "about": ' + json.dumps(about).encode() + b"}"


def test_an_answer_that_says_nothing_stays_as_it_is() -> None:
    assert without_about(DOCUMENT) == (DOCUMENT, None)


def test_what_is_said_is_taken_out() -> None:
    steps = [["preprocess", 12.5], ["preprocess.decode", 8.0]]
    document, about = without_about(saying(TOLD | {"steps": steps}))
    assert document == DOCUMENT
    assert about == About("vfnet.2", "5f0c29aa01234567", (("preprocess", 12.5), ("preprocess.decode", 8.0)))


@pytest.mark.parametrize(
    "about",
    [
        None,
        [],
        {"answered_by": "vfnet"},
        TOLD | {"answered_by": "a\r\nb"},
        TOLD | {"checkpoint": "none"},
        TOLD | {"steps": [["x;dur=1, y", 1]]},
        TOLD | {"steps": [["decode", -1]]},
        TOLD | {"steps": [["decode", "NaN"]]},
        TOLD | {"steps": 7},
        TOLD | {"steps": [["decode", 10**400]]},
    ],
)
def test_what_is_no_such_thing_is_taken_out_and_ignored(about: object) -> None:
    assert without_about(saying(about)) == (DOCUMENT, None)


def test_what_is_nested_beyond_reading_is_ignored_too() -> None:
    assert without_about(DOCUMENT[:-1] + b', "about": ' + b"[" * 100_000 + b"}") == (DOCUMENT, None)


def test_a_request_asks_by_a_header_and_only_in_the_context() -> None:
    assert about_headers() == {}
    with asking_about(ORIGIN, STEPS):
        assert about_headers() == {HEADER: "origin,steps"}
    assert about_headers() == {}
