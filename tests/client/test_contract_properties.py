"""Whatever arrives, the contract's readers answer with a value or with their own errors."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vfnet_client.contract import (
    ImageURL,
    ScoreRequest,
    decode_image_item,
    is_url,
    parse_score_request,
    partial_failure,
    score_response,
)
from vfnet_client.detections import DetectedBox, Detections
from vfnet_client.exceptions import ImageItemError, RequestError
from vfnet_client.safe_text import printable_line

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "columns": st.lists(st.sampled_from(["image", "id"]), max_size=3) | JSON,
        "index": st.lists(SCALARS, max_size=3) | JSON,
        "data": st.lists(SCALARS | st.lists(SCALARS, max_size=3), max_size=3) | JSON,
        "surplus": JSON,
    },
)
PARAMETERS = {
    "box_score_threshold": st.floats(0, 1) | JSON,
    "nms_iou": st.floats(0, 1) | JSON,
    "max_detections": st.integers() | JSON,
    "classes": st.lists(st.text(st.characters(), max_size=3) | st.integers(), max_size=3) | JSON,
}
BODIES = st.fixed_dictionaries(
    {"input_data": TABLES | JSON},
    optional={"params": JSON | st.fixed_dictionaries({}, optional=PARAMETERS), "more": JSON},
)


def understood(body: bytes) -> ScoreRequest | int:
    """The request, or the status of its refusal; any other exception fails the test."""
    try:
        return parse_score_request(body)
    except RequestError as error:
        return error.status


def decoded(item: Any) -> bytes | ImageURL | str:
    """What an item carries, or the reason why it carries nothing; any other exception fails the test."""
    try:
        return decode_image_item(item)
    except ImageItemError as error:
        return str(error)


@given(BODIES)
def test_any_json_is_understood_or_refused(body: dict[str, Any]) -> None:
    parsed = understood(json.dumps(body).encode())
    if isinstance(parsed, int):
        assert parsed == 400
        return
    assert len(parsed.items) == len(parsed.index)
    options = parsed.parameters.options
    assert options.score_threshold is None or 0 <= options.score_threshold <= 1
    assert options.max_detections is None or options.max_detections >= 1
    assert options.classes is None or (options.classes and all(map(str.encode, options.classes)))
    reasons = dict.fromkeys(range(len(parsed.items)), "reason")
    answer = json.loads(partial_failure([None] * len(parsed.items), reasons, parsed.index))
    assert [error["position"] for error in answer["errors"]] == list(range(len(parsed.items)))


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_understood_or_refused(body: bytes) -> None:
    parsed = understood(body)
    assert parsed == 400 or isinstance(parsed, ScoreRequest)


@given(JSON | st.text("+/=-_AZaz09 \n:,;datbse64%hp") | st.text().map(lambda text: f"data:;base64,{text}"))
def test_any_item_is_decoded_or_refused(item: Any) -> None:
    image = decoded(item)
    assert is_url(image.url) if isinstance(image, ImageURL) else image


@given(st.binary(min_size=1), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_base64_round_trips(image: bytes, urlsafe: bool, lines: bool, padded: bool, uri: bool) -> None:
    text = (base64.encodebytes(image) if lines else base64.b64encode(image)).decode()
    if urlsafe:
        text = text.translate(str.maketrans("+/", "-_"))
    if not padded:
        text = text.replace("=", "")
    assert decode_image_item(f"data:image/jpeg;base64,{text}" if uri else text) == image


FRACTIONS = st.floats(0, 1)
BOXES = st.builds(DetectedBox, FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS, st.text(), FRACTIONS)


@given(st.lists(st.builds(Detections, st.lists(BOXES, max_size=3)), max_size=3))
def test_detections_survive_their_json(results: list[Detections]) -> None:
    body = score_response([json.dumps(result.to_json()).encode() for result in results])
    shown = [
        Detections([replace(box, label=printable_line(box.label, 500)) for box in result.boxes]) for result in results
    ]
    assert [Detections.from_json(entry) for entry in json.loads(body)] == shown
