"""`params` as the OpenAPI description has them are those that are accepted: no fewer, and no more."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import examples
from vfnet_client.exceptions import RequestError
from vfnet_client.score_parameters import read_parameters
from vfnet_gateway.swagger import description

SCHEMA = jsonschema_rs.validator_for(json.loads(description("3.1"))["components"]["schemas"]["ScoreParams"])

NUMBERS = [-1, 0, 1, 2, 3.0, 2.5, 15, 16, 640, 640.0, 999_999, 1_000_000, 10**12]
GRIDS = [
    "3x2", "3X2", "3,2", "(3, 2)", " ( 3 x 2 ) ", "(3x2", "3x2)", "1x2", "2x1", "1x1", "0x2", "03x2", "10x1", "1x10",
    "999999x1", "1000000x1", "3", "", "3x2x1", "-3x2", "3.0x2", "3x2\n", "\t3x2", "\u0663x2", "3\u00a0x2", "x",
    "3x2" + " " * 37, "3x2" + " " * 38,
]  # fmt: skip
SIZES = [
    "640", " 640 ", "(640)", "16", "15", "640x480", "(640, 480)", "640x15", "15x640", "99x100", "016", "999999",
    "1000000", "640\n", "640x", "640.0", "", "\u0666\u0664\u0660",
]  # fmt: skip
ODD = [None, True, False, [], {}, [None, 2], [3], [3, 2, 1], ["3", "2"], ["3x2"], [[3, 2]], [True, 2], {"0": 3, "1": 2}]
LISTS = [[one, other] for one in NUMBERS for other in NUMBERS]
SHARES: list[Any] = [-0.1, 0, 0.25, 0.999, 1, 1.0, 1.5, -0.0, 2**70, "0.2", "", *ODD]


def is_accepted(params: Any) -> bool:
    try:
        read_parameters(params)
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("tile_grid_size", [*GRIDS, *SIZES, *NUMBERS, *LISTS, *ODD]),
        ("tile_size", [*GRIDS, *SIZES, *NUMBERS, *LISTS, *ODD]),
        ("tile_overlap_ratio", SHARES),
        ("tile_predictions_nms_thresh", SHARES),
        ("tile_whole_image", [0, 1, "true", "false", *ODD]),
        ("box_score_threshold", SHARES),
        ("nms_iou", SHARES),
        ("max_detections", [-1, 0, 1, 20, 20.0, 20.5, 5000, "20", *ODD]),
        ("classes", ["can", {}, [], ["can"], ["can", 2], [2.0], [2.5], [-1], [2**31 - 1], [2**31], [True], [None], [""],
                     ["x" * 500], ["x" * 501], ["x"] * 5000, ["x"] * 5001, None]),
    ],
)  # fmt: skip
def test_a_value_is_accepted_just_where_the_description_allows_it(key: str, values: list[Any]) -> None:
    accepted = [is_accepted({key: value}) for value in values]
    assert accepted == [SCHEMA.is_valid({key: value}) for value in values]
    assert set(accepted) == {True, False}


@pytest.mark.parametrize(
    "params",
    [
        {"tile_grid_size": "3x2", "tile_size": 640},
        {"tile_grid_size": "3x2", "tile_size": None},
        {"tile_grid_size": None, "tile_size": 640, "tile_overlap_ratio": None},
        {"tile_overlap_ratio": 0.5},
        {"tile_overlap_ratio": 1},
        {"other": "3x2", "Tile_Size": 1},
        None, [], "3x2", 7, {},
    ],
)  # fmt: skip
def test_so_is_what_keys_say_together(params: Any) -> None:
    assert is_accepted(params) == SCHEMA.is_valid(params)


TEXTS = st.lists(
    st.sampled_from([*"(0123456789xX,)\n\t\u0663", " ", "1", "16", "640", "x", "  "]), max_size=9
).map("".join)  # fmt: skip
VALUES = st.one_of(
    TEXTS,
    st.integers(-3, 10**7),
    st.floats(-2, 10**7, allow_nan=False),
    st.lists(st.one_of(st.integers(-1, 20), st.integers(10**5, 10**7), st.none(), TEXTS), max_size=3),
    st.none(),
    st.booleans(),
)


@settings(max_examples=examples(400), deadline=None)
@given(st.dictionaries(st.sampled_from(["tile_grid_size", "tile_size", "tile_overlap_ratio"]), VALUES, max_size=2))
def test_whatever_is_sent_the_description_and_the_reader_agree(params: dict[str, Any]) -> None:
    assert is_accepted(params) == SCHEMA.is_valid(params), params
