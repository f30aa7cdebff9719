"""Where the tiles of an image lie."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from numpy.typing import NDArray

from vfnet_tiling.tiling import MOST_TILES, SMALLEST_SIDE, Tiling, TilingError


class Tile(NamedTuple):
    """A part of an image, in pixels of the stored image: `right` and `bottom` are the first that it lacks."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The tile's part of [height, width, ...]: a view, not a copy."""
        return pixels[self.top : self.bottom, self.left : self.right]


def whole(width: int, height: int) -> Tile:
    """The tile that is the image."""
    return Tile(0, 0, width, height)


def tiles_of(tiling: Tiling, width: int, height: int, most: int = MOST_TILES) -> list[Tile]:
    """The tiles of an image of this size, column by column, without the image as a whole.

    An image that fits into one tile of the size asked for has none, and neither has one of which a grid's tiles would
    have a side below `SMALLEST_SIDE`. No tile is larger than the image.

    Args:
        most: more are refused.

    Raises:
        TilingError: there would be more.
    """
    if tiling.tile_grid_size is not None:
        columns, rows = tiling.tile_grid_size
        _check_count(columns * rows, most, width, height)
        across = _grid_spans(width, columns, tiling.tile_overlap_ratio)
        down = _grid_spans(height, rows, tiling.tile_overlap_ratio)
        if min(across[0][1], down[0][1]) < SMALLEST_SIDE:
            return []
    else:
        assert tiling.tile_size is not None
        if tiling.tile_size[0] >= width and tiling.tile_size[1] >= height:
            return []
        across, down = (
            _sized_spans(side, size, tiling.tile_overlap_ratio, most)
            for side, size in zip((width, height), tiling.tile_size, strict=True)
        )
        _check_count(len(across) * len(down), most, width, height)
    return [Tile(left, top, right, bottom) for (left, right), (top, bottom) in product(across, down)]


def _check_count(count: int, most: int, width: int, height: int) -> None:
    if count > most:
        raise TilingError(
            f"an image of {width} x {height} would become {count} tiles or more, and at most {most} are made of one; "
            "ask for larger tiles, fewer of them, or less overlap"
        )


def _grid_spans(side: int, count: int, overlap_ratio: float) -> list[tuple[int, int]]:
    """Begin and end of each tile along one side; neighbours share `overlap_ratio` of a tile, before rounding."""
    length = side / (overlap_ratio + (1 - overlap_ratio) * count)
    begins = [index * (1 - overlap_ratio) * length for index in range(count)]
    # Python's round and torch's, which AutoML has: halves to the even number. The last end may be off by a rounding.
    return [(round(begin), min(side, round(begin + length))) for begin in begins]


def _sized_spans(side: int, size: int, overlap_ratio: float, most: int) -> list[tuple[int, int]]:
    """Likewise for tiles of a size. The last one is moved inwards, so that it is as large as the others."""
    size = min(size, side)
    step = max(1, size - int(overlap_ratio * size))
    # As many as SAHI makes: until one ends where the image does. One more than allowed is enough to be refused.
    count = min(1 + -(-(side - size) // step), most + 1)
    begins = [min(index * step, side - size) for index in range(count)]
    return [(begin, begin + size) for begin in begins]
