"""Tiling as a request's `params` ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vfnet_tiling.tiling import (
    DEFAULT_OVERLAP_RATIO,
    Pair,
    Tiling,
    TilingError,
    parse_grid_size,
    parse_tile_size,
)

GRID_SIZE, TILE_SIZE = "tile_grid_size", "tile_size"
OVERLAP_RATIO, NMS_THRESH, WHOLE_IMAGE = "tile_overlap_ratio", "tile_predictions_nms_thresh", "tile_whole_image"
TILING_PARAMETERS = frozenset({GRID_SIZE, TILE_SIZE, OVERLAP_RATIO, NMS_THRESH, WHOLE_IMAGE})
"""Keys that `tiling_of` reads."""
_HUGE = 1e9
"""JSON has integers that are no float."""
_LONGEST_SIDE = 10
"""Characters of a side's number, and some more."""


def tiling_of(params: Mapping[str, Any]) -> Tiling | None:
    """What `params` say of tiling; null is as good as absent. None: neither a grid nor a size of tiles is asked for.

    `"tile_grid_size": "3x2"` or `[3, 2]`, or `"tile_size": 640`, `"640x480"` or `[640, 480]`. With them, and of no
    effect without, numbers as `tile_overlap_ratio` and `tile_predictions_nms_thresh`, and `"tile_whole_image": false`.

    Raises:
        TilingError: one of them is none; the message names it.
    """
    given = {name: value for name, value in params.items() if value is not None}
    if GRID_SIZE not in given and TILE_SIZE not in given:
        return None
    whole_image = given.get(WHOLE_IMAGE, True)
    if not isinstance(whole_image, bool):
        raise TilingError(f'"{WHOLE_IMAGE}" must be true or false')
    return Tiling(
        tile_grid_size=_pair(given, GRID_SIZE, parse_grid_size),
        tile_size=_pair(given, TILE_SIZE, parse_tile_size),
        tile_overlap_ratio=_number(given, OVERLAP_RATIO, DEFAULT_OVERLAP_RATIO),
        tile_predictions_nms_thresh=_number(given, NMS_THRESH, None),
        whole_image=whole_image,
    )


def _pair(given: Mapping[str, Any], name: str, parse: Callable[[str], Pair]) -> Pair | None:
    value = given.get(name)
    if value is None:
        return None
    text = value
    if isinstance(value, list):
        sides = [_side(side) for side in value[:3]]
        text = None if None in sides else "x".join(map(str, sides))
    elif not isinstance(value, str):
        text = _side(value)
    if text is None:
        raise TilingError(f'"{name}" must be text such as "3x2", or a list of two whole numbers')
    try:
        return parse(text)
    except TilingError as error:
        raise TilingError(f'"{name}": {error}') from None


def _side(value: object) -> str | None:
    """As text, which is as long as a side's may be; None: it is neither a whole number nor text."""
    if isinstance(value, str):
        return value[:_LONGEST_SIDE]
    is_side = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _HUGE
    return str(value) if is_side else None


def _number(given: Mapping[str, Any], name: str, default: Any) -> Any:
    value = given.get(name, default)
    if value is not default and (isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _HUGE):
        raise TilingError(f'"{name}" must be a number from 0 to 1')
    return value
