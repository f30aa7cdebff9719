"""What a server says of its answer does not stay in it, whether or not it makes sense."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from vfnet_client.answer_about import About
from vfnet_gateway.answer_origin import last_about, taken_from

DOCUMENT = b'{"boxes": []}'
TOLD: dict[str, Any] = {"answered_by": "vfnet.2", "checkpoint": "5f0c29aa01234567"}


def outputs(document: bytes) -> dict[str, Any]:
    return {"DETECTIONS": np.array([document], np.object_), "other": 1}


@pytest.mark.parametrize(
    ("told", "expected"),
    [(TOLD, About("vfnet.2", "5f0c29aa01234567")), (TOLD | {"checkpoint": "none"}, None), ({}, None)],
)
def test_callers_do_not_get_what_only_the_gateway_asked_for(told: dict[str, Any], expected: About | None) -> None:
    given = outputs(DOCUMENT[:-1] + b', "about": ' + json.dumps(told).encode() + b"}")
    taken = taken_from(given)
    assert taken["DETECTIONS"].tolist() == [DOCUMENT]
    assert taken["other"] == 1
    assert last_about() == expected


def test_an_answer_that_says_nothing_stays_as_it_is() -> None:
    given = outputs(DOCUMENT)
    assert taken_from(given) is given
    assert last_about() is None
