"""Annotated images as tiles: where boxes go, and which are dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vfnet_data.dataset import AnnotatedImage
from vfnet_data.tiled_images import tile_images, tile_of
from vfnet_tiling.geometry import Tile
from vfnet_tiling.tiling import Tiling, TilingError

HALVES = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0)


def image(*boxes: tuple[float, float, float, float], **more: object) -> AnnotatedImage:
    """200 x 100 pixels; every box is of a class of its own."""
    count = len(boxes)
    arrays = {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4), "labels": np.arange(count), "crowd": np.zeros(count, bool)
    }  # fmt: skip
    return AnnotatedImage(Path("scene.png"), 7, 200, 100, **{**arrays, **more})  # type: ignore[arg-type]


def test_boxes_are_cut_off_at_the_edges_of_a_tile() -> None:
    whole = image((10, 10, 40, 30), (80, 20, 120, 60), (150, 0, 200, 100))
    left, right = tile_of(whole, Tile(0, 0, 100, 100)), tile_of(whole, Tile(100, 0, 200, 100))
    assert (left.width, left.height, left.tile, left.image_id) == (100, 100, Tile(0, 0, 100, 100), 7)
    assert left.labels.tolist() == [0, 1]
    assert left.boxes.tolist() == [[10, 10, 40, 30], [80, 20, 100, 60]]
    assert right.labels.tolist() == [1, 2]
    assert right.boxes.tolist() == [[0, 20, 20, 60], [50, 0, 100, 100]]
    assert left.boxes.dtype == np.float32


def test_slivers_are_no_objects() -> None:
    kept = tile_of(image((98, 0, 128, 50), (96, 0, 126, 50), (20.2, 0, 20.8, 50)), Tile(0, 0, 100, 100))
    assert kept.labels.tolist() == [1]  # of the first less than a tenth is there, and the last has no whole pixel
    kept = tile_of(image((90, 0, 110, 50)), Tile(0, 0, 100, 100))
    assert kept.boxes.tolist() == [[90, 0, 100, 50]]


def test_crowds_areas_and_what_is_untrained_go_with_their_boxes() -> None:
    whole = image(
        (0, 0, 50, 50), (150, 0, 190, 40), (80, 0, 120, 10),
        crowd=np.array([False, True, False]), areas=np.array([100.0, 200.0, 300.0]),
        untrained=np.array([0, 0, 1], np.uint8),
    )  # fmt: skip
    right = tile_of(whole, Tile(100, 0, 200, 100))
    assert right.labels.tolist() == [1, 2]
    assert right.crowd.tolist() == [True, False]
    assert right.areas is not None
    assert right.areas.tolist() == [200.0, 150.0]
    assert right.untrained is not None
    assert right.untrained.tolist() == [0, 1]


def test_tiles_without_boxes_are_left_out_unless_they_are_wanted() -> None:
    one = image((10, 10, 40, 30))
    tiled = tile_images([one], HALVES, smallest_side=32)
    assert [each.tile for each in tiled.images] == [None, Tile(0, 0, 100, 100)]
    assert (tiled.tiles, tiled.empty) == (1, 1)
    assert len(tile_images([one], HALVES, smallest_side=32, keep_empty=True).images) == 3
    alone = tile_images([one], Tiling(tile_grid_size=(2, 1), whole_image=False), smallest_side=32)
    assert all(each.tile is not None for each in alone.images)


def test_an_image_that_is_too_small_for_tiles_is_trained_on_as_it_is() -> None:
    one = image((10, 10, 40, 30))
    for tiling in (Tiling(tile_size=(200, 200), whole_image=False), HALVES):
        assert tile_images([one], tiling, smallest_side=101).images == (one,)


def test_an_image_of_too_many_tiles_is_named() -> None:
    with pytest.raises(TilingError, match=r"scene\.png: an image of 200 x 100 would become"):
        tile_images([image()], Tiling(tile_size=(16, 16), tile_overlap_ratio=0.95), smallest_side=16)
