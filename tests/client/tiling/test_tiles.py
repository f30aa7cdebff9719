"""Where tiles lie, against AutoML's arithmetic and SAHI's, and what cannot be tiled."""

from __future__ import annotations

import itertools
import json
import random
import time
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from vfnet_images.decoding import decode_image
from vfnet_tiling.cutting import encode_tile
from vfnet_tiling.geometry import Tile, tiles_of, whole
from vfnet_tiling.parameters import parameters_of, recorded_tiling, tiling_of
from vfnet_tiling.tiling import Tiling, TilingError, parse_grid_size, parse_tile_size

SIZES = [(640, 480), (1080, 1080), (1280, 720), (1920, 1080), (499, 666), (4000, 3000)]
GRIDS = [(2, 1), (1, 2), (3, 2), (2, 3), (4, 3), (3, 4), (5, 3)]
OVERLAPS = [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_a_grid_lies_where_automl_puts_it(size: tuple[int, int], grid: tuple[int, int], overlap: float) -> None:
    """As azureml-automl-dnn-vision's own test of `get_tiles` has it: columns first, both ends rounded."""
    width, height = (side / (count * (1 - overlap) + overlap) for side, count in zip(size, grid, strict=True))
    expected, x = [], 0.0
    for _ in range(grid[0]):
        y = 0.0
        for _ in range(grid[1]):
            expected.append((round(x), round(y), round(x + width), round(y + height)))
            y += (1 - overlap) * height
        x += (1 - overlap) * width
    tiles = tiles_of(Tiling(tile_grid_size=grid, tile_overlap_ratio=overlap), *size)
    assert np.abs(np.array(tiles) - np.array(expected)).max() <= 1  # sums here, products there
    assert sum(map(tuple.__ne__, map(tuple, tiles), expected)) <= 2
    assert tiles[-1][2:] == size


def sahi_boxes(height: int, width: int, side_height: int, side_width: int, overlap: float) -> list[list[int]]:
    """The arithmetic of `sahi.slicing.get_slice_bboxes`, 0.11, written anew, row by row."""
    x_overlap, y_overlap = int(overlap * side_width), int(overlap * side_height)
    boxes, y_end, y = [], 0, 0
    while y_end < height:
        x_end, x = 0, 0
        y_end = y + side_height
        while x_end < width:
            x_end = x + side_width
            right, bottom = min(width, x_end), min(height, y_end)
            boxes.append([max(0, right - side_width), max(0, bottom - side_height), right, bottom])
            x = x_end - x_overlap
        y = y_end - y_overlap
    return boxes


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("side", [(512, 512), (640, 480), (333, 1000), (64, 64)])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_a_size_lie_where_sahi_puts_them(size: tuple[int, int], side: tuple[int, int], overlap: float) -> None:
    tiles = tiles_of(Tiling(tile_size=side, tile_overlap_ratio=overlap), *size, most=10**6)
    expected = sahi_boxes(size[1], size[0], side[1], side[0], overlap)
    assert sorted(tiles) == sorted(map(tuple, expected)) or (tiles == [] and len(expected) == 1)


def test_every_pixel_is_in_a_tile_and_no_tile_leaves_the_image() -> None:
    generator = random.Random(0)
    for _ in range(300):
        width, height = generator.randint(64, 3000), generator.randint(64, 3000)
        overlap = generator.choice([0.0, 0.1, 0.25, 0.9, 0.99])
        if generator.random() < 0.5:
            tiling = Tiling(
                tile_grid_size=(generator.randint(2, 5), generator.randint(1, 5)), tile_overlap_ratio=overlap
            )
        else:
            tiling = Tiling(
                tile_size=(generator.randint(16, 900), generator.randint(16, 900)), tile_overlap_ratio=overlap
            )
        try:
            tiles = tiles_of(tiling, width, height)
        except TilingError:
            continue
        tiles = tiles or [whole(width, height)]
        for low, high, side in ((0, 2, width), (1, 3, height)):
            spans = sorted({(tile[low], tile[high]) for tile in tiles})
            assert spans[0][0] == 0
            assert max(end for _, end in spans) == side
            assert all(begin < end for begin, end in spans)
            assert all(after[0] <= before[1] for before, after in itertools.pairwise(spans))


def test_an_image_that_fits_into_a_tile_or_is_too_small_for_a_grid_has_none() -> None:
    assert tiles_of(Tiling(tile_grid_size=(4, 3)), 40, 3000) == []
    assert len(tiles_of(Tiling(tile_grid_size=(4, 3)), 52, 3000)) == 12
    assert tiles_of(Tiling(tile_size=(640, 640)), 640, 480) == []
    assert tiles_of(Tiling(tile_size=(640, 640)), 641, 480) == [Tile(0, 0, 640, 480), Tile(1, 0, 641, 480)]


@pytest.mark.parametrize(
    ("tiling", "size", "words"),
    [
        (Tiling(tile_size=(16, 16)), (10_000, 10_000), "at most 1000 are made of one"),
        (Tiling(tile_grid_size=(999_999, 999_999)), (640, 480), "at most 1000"),
        (Tiling(tile_size=(600, 600), tile_overlap_ratio=0.9999), (10_000, 10_000), "at most 1000"),
    ],
)
def test_too_many_tiles_are_refused(tiling: Tiling, size: tuple[int, int], words: str) -> None:
    with pytest.raises(TilingError, match=words):
        tiles_of(tiling, *size)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"tile_grid_size": "3x2", "tile_size": 640}, "a grid of tiles and a size of tiles are given"),
        ({"tile_grid_size": "1x1"}, "divides nothing"),
        ({"tile_grid_size": "0x3"}, "divides nothing"),
        ({"tile_grid_size": "3y2"}, "\"tile_grid_size\": '3y2' is no grid of tiles such as 3x2"),
        ({"tile_grid_size": "0.5x3"}, "is no grid"),
        ({"tile_grid_size": "03x2"}, "is no grid"),
        ({"tile_grid_size": " " * 10_000_000}, "is no grid"),  # at once
        ({"tile_size": "6" * 41}, "is no size of tiles"),
        ({"tile_grid_size": "\u0663x2"}, "is no grid"),
        ({"tile_grid_size": [3]}, "must be text"),
        ({"tile_grid_size": [3, 2, 1]}, "must be text"),
        ({"tile_grid_size": ["3", "2"]}, "must be text"),
        ({"tile_grid_size": [3.5, 2]}, "must be text"),
        ({"tile_grid_size": [10**400, 2]}, "is no grid"),
        ({"tile_size": [640, True]}, "must be text"),
        ({"tile_grid_size": True}, "must be text"),
        ({"tile_grid_size": {}}, "must be text"),
        ({"tile_size": 4}, "are too small; each side is 16 at least"),
        ({"tile_size": "640x"}, "is no size of tiles"),
        ({"tile_size": 640, "tile_overlap_ratio": 1}, "tiles overlap by 1; it is a share"),
        ({"tile_size": 640, "tile_overlap_ratio": -0.1}, "tiles overlap by -0.1"),
        ({"tile_size": 640, "tile_overlap_ratio": float("nan")}, "tiles overlap by nan"),
        ({"tile_size": 640, "tile_overlap_ratio": "0.2"}, '"tile_overlap_ratio" must be a number'),
        ({"tile_size": 640, "tile_overlap_ratio": 10**400}, '"tile_overlap_ratio" must be a number'),
        ({"tile_size": 640, "tile_predictions_nms_thresh": -(10**400)}, '"tile_predictions_nms_thresh" must be a'),
        ({"tile_size": 640, "tile_predictions_nms_thresh": float("nan")}, "it lies from 0 to 1"),
        ({"tile_size": 640, "tile_predictions_nms_thresh": 1.5}, "it lies from 0 to 1"),
        ({"tile_size": 640, "tile_whole_image": 1}, "must be true or false"),
        ({"tile_overlap_ratio": "nonsense"}, '"tile_overlap_ratio" must be a number'),
        ({"tile_overlap_ratio": 1}, "tiles overlap by 1; it is a share"),
    ],
)
def test_params_that_make_no_sense_are_named(params: dict[str, object], words: str) -> None:
    with pytest.raises(TilingError) as caught:
        tiling_of(params)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text", [" " * 100_000, "(" + " " * 100_000, "3x2" + " " * 100_000 + "!", "3" * 100_000], ids=range(4)
)
@pytest.mark.parametrize("name", ["tile_grid_size", "tile_size"])
def test_a_long_text_is_refused_at_once(name: str, text: str) -> None:
    started = time.process_time()
    with pytest.raises(TilingError, match="is no"):
        tiling_of({name: text})
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "side", [["\ue000" * 2_000_000], {"x": "y" * 2_000_000}, 2.5, True], ids=lambda side: type(side).__name__
)
def test_a_side_that_is_no_number_is_not_written_down(side: object) -> None:
    tracemalloc.start()
    try:
        for value in ([side, 2], [2, side]):
            with pytest.raises(TilingError, match="must be text"):
                tiling_of({"tile_size": value})
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tile_size": 640}, "tile_size is 640; it has to be a width and a height in pixels such as (640, 640)"),
        ({"tile_grid_size": "3x2"}, "tile_grid_size is '3x2'; it has to be columns and rows such as (3, 2)"),
        ({"tile_grid_size": (3, 2.5)}, "it has to be columns and rows"),
        ({"tile_grid_size": (3, True)}, "it has to be columns and rows"),
        ({"tile_grid_size": (3, 2), "tile_overlap_ratio": 10**400}, "tiles overlap by inf"),
        ({"tile_grid_size": (3, 2), "tile_predictions_nms_thresh": 10**400}, "boxes of tiles are merged is inf"),
        ({"tile_grid_size": (3, 2), "tile_overlap_ratio": "0.2"}, "tile_overlap_ratio is '0.2'; it has to be a number"),
        ({"tile_grid_size": (3, 2), "tile_overlap_ratio": None}, "tile_overlap_ratio is None"),
        ({"tile_grid_size": (3, 2), "tile_predictions_nms_thresh": True}, "it has to be a number from 0 to 1"),
    ],
)
def test_what_python_gives_as_something_else_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TilingError) as caught:
        Tiling(**given)
    assert words in str(caught.value)


def test_numbers_may_be_of_any_kind_and_become_pythons() -> None:
    side: Any = np.uint8(200)
    overlap: Any = Fraction(1, 4)
    tiling = Tiling(tile_size=(side, side), tile_overlap_ratio=overlap, tile_predictions_nms_thresh=np.float32(0.5))
    assert tiling == Tiling(tile_size=(200, 200), tile_predictions_nms_thresh=0.5)
    assert str(tiling) == "tile-size 200x200, tile-overlap-ratio 0.25, tile-predictions-nms-thresh 0.5"
    assert len(tiles_of(tiling, 4000, 3000)) == 27 * 20
    listed: Any = [3, 2]
    assert Tiling(tile_grid_size=listed) == Tiling(tile_grid_size=(3, 2))
    assert hash(Tiling(tile_grid_size=listed))


def test_params_are_read_as_automl_writes_them() -> None:
    for text in ("3x2", "3X2", "(3, 2)", " (3,2) ", "  3  x  2 ", [3, 2], [3.0, 2.0]):
        assert tiling_of({"tile_grid_size": text}) == Tiling(tile_grid_size=(3, 2))
    for size in (640, 640.0, "640", " 640 ", "640x640", [640, 640]):
        assert tiling_of({"tile_size": size}) == Tiling(tile_size=(640, 640))
    assert tiling_of({"tile_overlap_ratio": 0.5, "tile_grid_size": None}) is None
    assert tiling_of({}) is None
    assert parse_grid_size("(5, 3)") == (5, 3)
    assert parse_tile_size("800X600") == (800, 600)
    full = {
        "tile_grid_size": "2x1", "tile_overlap_ratio": 0, "tile_predictions_nms_thresh": 0.5, "tile_whole_image": False,
    }  # fmt: skip
    assert str(tiling_of(full)) == (
        "tile-grid-size 2x1, tile-overlap-ratio 0, tile-predictions-nms-thresh 0.5, tiles-only"
    )


@pytest.mark.parametrize(
    "tiling",
    [
        Tiling(tile_grid_size=(3, 2)),
        Tiling(tile_size=(640, 480), tile_overlap_ratio=0.2, tile_predictions_nms_thresh=0.0, whole_image=False),
    ],
)
def test_what_is_written_down_is_read_again(tiling: Tiling) -> None:
    record = parameters_of(tiling)
    assert tiling_of(record) == recorded_tiling(json.loads(json.dumps(record))) == tiling


def test_a_record_that_says_something_else_is_none() -> None:
    nested: list[object] = ["x"]
    for _ in range(60):
        nested = [nested, nested]  # written out, it would fill any memory
    for record in (
        None, "3x2", [], {}, {"tile_grid_size": "1x1"}, {"tile_grid_size": " " * 10**6}, {"tile_grid_size": nested},
        {"tile_size": 10**5000}, {"tile_size": 640, "tile_overlap_ratio": float("nan")}, {1: 2, "tile_size": b"640"},
    ):  # fmt: skip
        assert recorded_tiling(record) is None


@pytest.mark.parametrize("beginning", ["", "(", "3", "3x", "(3x", "3x2"])
@pytest.mark.parametrize("repeated", [" ", "3", "x", "(", ")"])
def test_long_texts_are_refused_in_time_that_grows_with_their_length(beginning: str, repeated: str) -> None:
    """With the square of it, a body of a megabyte would keep a gateway for hours."""
    text = beginning + repeated * 10**6 + "!"
    for name in ("tile_grid_size", "tile_size"):
        with pytest.raises(TilingError, match=name):
            tiling_of({name: text})


def test_a_tile_is_decoded_to_the_pixels_it_was_cut_from(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    tile = Tile(11, 20, 60, 70)
    cut = tile.of(pixels)
    assert np.array_equal(decode_image(encode_tile(cut)), pixels[20:70, 11:60])
    monkeypatch.setattr("vfnet_tiling.cutting._MOST_RAW_BYTES", 100)
    packed = encode_tile(cut)
    assert packed.startswith(b"\x89PNG")
    assert np.array_equal(decode_image(packed), cut)
