"""Annotated images as their tiles: what a training with tiles is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vfnet_data.dataset import AnnotatedImage
from vfnet_tiling.geometry import Tile, tiles_of
from vfnet_tiling.tiling import Tiling, TilingError

LEAST_VISIBLE = 0.1
"""Of a box's area, in a tile that has it: SAHI's `min_area_ratio`. AutoML keeps whatever has a whole pixel."""


@dataclass(frozen=True)
class TiledImages:
    """Images, and their tiles as images of their own."""

    images: tuple[AnnotatedImage, ...]
    """Each image is followed by its tiles."""
    tiles: int
    """How many are tiles."""
    empty: int
    """Tiles that no box reaches into, which are left out."""


def tile_images(
    images: Sequence[AnnotatedImage], tiling: Tiling, *, smallest_side: int, keep_empty: bool = False
) -> TiledImages:
    """The images and their tiles, as AutoML trains on them: boxes are cut off at a tile's edges.

    Args:
        smallest_side: pixels; of a tile that has fewer nothing is made.
        keep_empty: keep tiles without a box, too.

    Raises:
        TilingError: an image would become too many tiles; it names the image.
    """
    made: list[AnnotatedImage] = []
    tiles = empty = 0
    for image in images:
        parts = list(_tiles(image, tiling, smallest_side))
        if tiling.whole_image or not parts:
            made.append(image)
        kept = [part for part in parts if keep_empty or len(part.labels)]
        made += kept
        tiles, empty = tiles + len(kept), empty + len(parts) - len(kept)
    return TiledImages(tuple(made), tiles, empty)


def _tiles(image: AnnotatedImage, tiling: Tiling, smallest_side: int) -> Iterator[AnnotatedImage]:
    try:
        tiles = tiles_of(tiling, image.width, image.height)
    except TilingError as error:
        raise TilingError(f"{image.path}: {error}") from error
    for tile in tiles:
        if min(tile.width, tile.height) >= smallest_side:
            yield tile_of(image, tile)


def tile_of(image: AnnotatedImage, tile: Tile) -> AnnotatedImage:
    """A tile of an image, with the boxes that reach into it: those of which at least `LEAST_VISIBLE` is there, and a
    whole pixel."""
    corner = np.array([tile.left, tile.top] * 2, np.float32)
    ends = np.array([tile.width, tile.height] * 2, np.float32)
    boxes = (image.boxes - corner).clip(0, ends)
    before, after = _areas(image.boxes), _areas(boxes)
    visible = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    kept = (visible >= LEAST_VISIBLE) & (_areas(np.floor(boxes)) > 0)
    return replace(
        image,
        tile=tile,
        width=tile.width,
        height=tile.height,
        boxes=boxes[kept],
        labels=image.labels[kept],
        crowd=image.crowd[kept],
        areas=None if image.areas is None else (image.areas * visible)[kept],
        untrained=None if image.untrained is None else image.untrained[kept],
    )


def _areas(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    corners = boxes.astype(np.float64)
    areas: npt.NDArray[np.float64] = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    return areas
