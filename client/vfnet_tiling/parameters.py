"""Tiling as a request's `params` ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vfnet_tiling.tiling import (
    DEFAULT_OVERLAP_RATIO,
    LONGEST_TEXT,
    Pair,
    Tiling,
    TilingError,
    parse_grid_size,
    parse_tile_size,
    shown,
)

GRID_SIZE, TILE_SIZE = "tile_grid_size", "tile_size"
OVERLAP_RATIO, NMS_THRESH, WHOLE_IMAGE = "tile_overlap_ratio", "tile_predictions_nms_thresh", "tile_whole_image"
TILING_PARAMETERS = frozenset({GRID_SIZE, TILE_SIZE, OVERLAP_RATIO, NMS_THRESH, WHOLE_IMAGE})
"""Keys that `tiling_of` reads."""
_HUGE = 1e9
"""JSON has integers that are no float."""
_ANY_GRID = (2, 1)
"""What the other keys say has to make sense without a grid, too."""


def tiling_of(params: Mapping[str, Any]) -> Tiling | None:
    """What `params` say of tiling; null is as good as absent. None: neither a grid nor a size of tiles is asked for.

    `"tile_grid_size": "3x2"` or `[3, 2]`, or `"tile_size": 640`, `"640"`, `"640x480"` or `[640, 480]`. With them, and
    of no effect without, numbers as `tile_overlap_ratio` and `tile_predictions_nms_thresh`, and
    `"tile_whole_image": false`. `ScoreParams` of the gateway's OpenAPI description says the same.

    Raises:
        TilingError: one of them is none; the message names it.
    """
    given = {name: value for name, value in params.items() if value is not None}
    asked_for = GRID_SIZE in given or TILE_SIZE in given
    whole_image = given.get(WHOLE_IMAGE, True)
    if not isinstance(whole_image, bool):
        raise TilingError(f'"{WHOLE_IMAGE}" must be true or false')
    tiling = Tiling(
        tile_grid_size=_pair(given, GRID_SIZE, parse_grid_size) if asked_for else _ANY_GRID,
        tile_size=_pair(given, TILE_SIZE, parse_tile_size),
        tile_overlap_ratio=_number(given, OVERLAP_RATIO, DEFAULT_OVERLAP_RATIO),
        tile_predictions_nms_thresh=_number(given, NMS_THRESH, None),
        whole_image=whole_image,
    )
    return tiling if asked_for else None


def parameters_of(tiling: Tiling) -> dict[str, Any]:
    """The inverse of `tiling_of`: texts, numbers and true or false."""
    pairs = {GRID_SIZE: tiling.tile_grid_size, TILE_SIZE: tiling.tile_size}
    found: dict[str, Any] = {name: shown(pair) for name, pair in pairs.items() if pair is not None}
    found[OVERLAP_RATIO] = tiling.tile_overlap_ratio
    if tiling.tile_predictions_nms_thresh is not None:
        found[NMS_THRESH] = tiling.tile_predictions_nms_thresh
    return found if tiling.whole_image else {**found, WHOLE_IMAGE: False}


def recorded_tiling(record: object) -> Tiling | None:
    """The tiling that `parameters_of` wrote down somewhere; None: there is none, or something else stands there.

    A record tells what a network was trained with, and nothing is computed of it. So what cannot be read is none, and
    whoever wrote it need not be trusted: values may be long or share parts of themselves, and are not written out.
    """
    if not isinstance(record, Mapping):
        return None
    given = {name: record[name] for name in TILING_PARAMETERS if name in record}
    for value in given.values():
        is_short_text = isinstance(value, str) and len(value) <= LONGEST_TEXT
        if not is_short_text and not (isinstance(value, bool | int | float) and abs(value) <= _HUGE):
            return None
    try:
        return tiling_of(given)
    except TilingError:
        return None


def _pair(given: Mapping[str, Any], name: str, parse: Callable[[str], Pair]) -> Pair | None:
    value = given.get(name)
    if value is None:
        return None
    sides = [_whole_number(side) for side in (value[:3] if isinstance(value, list) else [value])]
    if None not in sides and len(sides) == (2 if isinstance(value, list) else 1):
        value = "x".join(map(str, sides))
    if not isinstance(value, str):
        raise TilingError(f'"{name}" must be text such as "3x2", or a list of two whole numbers')
    try:
        return parse(value)
    except TilingError as error:
        raise TilingError(f'"{name}": {error}') from None


def _whole_number(value: object) -> int | None:
    """JSON's, which may be written 3 and 3.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(given: Mapping[str, Any], name: str, default: Any) -> Any:
    value = given.get(name, default)
    if value is not default and (isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _HUGE):
        raise TilingError(f'"{name}" must be a number from 0 to 1')
    return value
