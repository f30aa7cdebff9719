"""What a person chooses of tiling, in AutoML's words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Integral, Real

Pair = tuple[int, int]
"""Along the width, along the height."""

DEFAULT_OVERLAP_RATIO = 0.25
"""AutoML's `DEFAULT_TILE_OVERLAP_RATIO`; SAHI's is 0.2."""
MOST_TILES = 1000
"""Of one image: a mistyped size asks for millions."""
SMALLEST_SIDE = 16
"""Pixels of a tile's side. Half of what MMDetection trains on: a smaller one shows nothing but a part of an object."""
_NUMBER = "(0|[1-9][0-9]{0,5})"
_PAIR = re.compile(rf" *\(? *{_NUMBER} *[xX,] *{_NUMBER} *\)? *")
LONGEST_TEXT = 40
"""Characters of such a text. The patterns take time that grows with the square of the spaces."""


class TilingError(ValueError):
    """An image cannot be tiled as asked; the message says why, and what can be done."""


@dataclass(frozen=True)
class Tiling:
    """How each image is tiled: into a grid, or into tiles of a size.

    Raises:
        TilingError: both or neither are given, or what is given is no such number, or is out of its bounds.
    """

    tile_grid_size: Pair | None = None
    """Columns and rows."""
    tile_size: Pair | None = None
    """Width and height of a tile in pixels of the stored image, SAHI's `slice_width` and `slice_height`."""
    tile_overlap_ratio: float = DEFAULT_OVERLAP_RATIO
    """Of a tile's width and height that the next one has too: 0 to below 1."""
    tile_predictions_nms_thresh: float | None = None
    """0 to 1: of two boxes of a class from different tiles whose IoU is greater, the better one stays. None: the
    threshold of the model's own suppression."""
    whole_image: bool = True
    """Whether the image is detected in as a whole, too, which finds the objects that fit into no tile."""

    def __post_init__(self) -> None:
        # Python's own numbers from here on: NumPy's small ones overflow where tiles are computed.
        given = {
            "tile_grid_size": _whole_pair("tile_grid_size", self.tile_grid_size, "columns and rows such as (3, 2)"),
            "tile_size": _whole_pair("tile_size", self.tile_size, "a width and a height in pixels such as (640, 640)"),
        }
        for name, pair in given.items():
            object.__setattr__(self, name, pair)
        for name in ("tile_overlap_ratio", "tile_predictions_nms_thresh"):
            value = getattr(self, name)
            is_left_out = value is None and name == "tile_predictions_nms_thresh"
            if not is_left_out and (isinstance(value, bool) or not isinstance(value, Real)):
                raise TilingError(f"{name} is {value!r:.40}; it has to be a number from 0 to 1")
            object.__setattr__(self, name, None if is_left_out else _float(value))
        if self.tile_grid_size is not None and self.tile_size is not None:
            raise TilingError("a grid of tiles and a size of tiles are given; give one of them")
        if self.tile_grid_size is None and self.tile_size is None:
            raise TilingError("neither a grid of tiles nor a size of tiles is given")
        if self.tile_grid_size is not None and (min(self.tile_grid_size) < 1 or max(self.tile_grid_size) < 2):
            raise TilingError(f"a grid of {shown(self.tile_grid_size)} tiles divides nothing; give 2x1 or more")
        if self.tile_size is not None and min(self.tile_size) < SMALLEST_SIDE:
            raise TilingError(
                f"tiles of {shown(self.tile_size)} pixels are too small; each side is {SMALLEST_SIDE} at least"
            )
        overlap, threshold = self.tile_overlap_ratio, self.tile_predictions_nms_thresh
        if not (math.isfinite(overlap) and 0 <= overlap < 1):
            raise TilingError(f"tiles overlap by {overlap:g}; it is a share of a tile from 0 to below 1, such as 0.25")
        if threshold is not None and not 0 <= threshold <= 1:
            raise TilingError(f"the IoU at which boxes of tiles are merged is {threshold:g}; it lies from 0 to 1")

    def __str__(self) -> str:
        """In the words of the options, such as `tile-grid-size 3x2, tile-overlap-ratio 0.25`."""
        pairs = {"tile-grid-size": self.tile_grid_size, "tile-size": self.tile_size}
        parts = [f"{name} {shown(pair)}" for name, pair in pairs.items() if pair is not None]
        parts.append(f"tile-overlap-ratio {self.tile_overlap_ratio:g}")
        if self.tile_predictions_nms_thresh is not None:
            parts.append(f"tile-predictions-nms-thresh {self.tile_predictions_nms_thresh:g}")
        return ", ".join(parts if self.whole_image else [*parts, "tiles-only"])


def _whole_pair(name: str, value: object, meaning: str) -> Pair | None:
    if value is None:
        return None
    sides = list(value) if isinstance(value, tuple | list) else []
    whole = [int(side) for side in sides if isinstance(side, Integral) and not isinstance(side, bool)]
    if len(sides) != 2 or len(whole) != 2:
        raise TilingError(f"{name} is {value!r:.40}; it has to be {meaning}")
    return whole[0], whole[1]


def _float(value: Real) -> float:
    """Infinity for an integer that is no float, which is out of all bounds just so."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def parse_grid_size(text: str) -> Pair:
    """Columns and rows of `3x2`, `3X2` or `(3, 2)`, as AutoML reads them. Raises TilingError."""
    found = _pair(text)
    if found is None:
        raise TilingError(f"{text[:LONGEST_TEXT]!r} is no grid of tiles such as 3x2: columns, then rows")
    return found


def parse_tile_size(text: str) -> Pair:
    """Width and height of `640x480`; `640` is a square. Raises TilingError."""
    found = _pair(text, may_be_square=True)
    if found is None:
        raise TilingError(
            f"{text[:LONGEST_TEXT]!r} is no size of tiles such as 640 or 640x480: width, then height in pixels"
        )
    return found


def _pair(text: str, *, may_be_square: bool = False) -> Pair | None:
    """Two numbers; None: it is no text of two, or of one where that may be."""
    if len(text) > LONGEST_TEXT:
        return None
    found = _PAIR.fullmatch(f"{text}x{text}" if may_be_square and text.strip().isdecimal() else text)
    return None if found is None else (int(found[1]), int(found[2]))


def shown(pair: Pair) -> str:
    """Such as `3x2`."""
    return f"{pair[0]}x{pair[1]}"
