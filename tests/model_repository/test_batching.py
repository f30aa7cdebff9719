"""Images of mixed sizes: onto which canvas, and who goes together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_runtime.canvases import canvas_for, parse_canvases
from vfnet_runtime.engines.batching import Batch, plan_batches

CANVASES = parse_canvases("800x1088,1088x800,800x1344,1344x800")
SIZES = (1, 2, 4, 8)


def test_an_image_takes_the_smallest_canvas_that_holds_it() -> None:
    assert canvas_for(800, 1067, CANVASES) == (800, 1088)
    assert canvas_for(800, 1089, CANVASES) == (800, 1344)
    assert canvas_for(1000, 60, CANVASES) == (1088, 800)
    assert canvas_for(1, 1, ()) == (32, 32)
    assert canvas_for(1400, 1400, CANVASES) == (1408, 1408)


@pytest.mark.parametrize("text", ["", "auto", "800", "800x", "800x1088;1x1", "ax b"])
def test_canvases_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        parse_canvases(text)


def test_without_canvases_every_image_is_alone_on_its_own() -> None:
    assert plan_batches([(96, 128), (96, 128)], (), SIZES) == [
        Batch((96, 128), (0,), 1),
        Batch((96, 128), (1,), 1),
    ]


def test_places_that_are_left_on_a_canvas_go_to_smaller_images() -> None:
    shapes = [(800, 1344)] * 3 + [(800, 1088)] * 2
    assert plan_batches(shapes, CANVASES, SIZES) == [
        Batch((800, 1344), (0, 1, 2, 3), 4),
        Batch((800, 1088), (4,), 1),
    ]


@given(st.lists(st.sampled_from([(96, 1344), (800, 800), (800, 1088), (1088, 800), (1344, 800)]), max_size=20))
def test_every_image_is_in_one_batch_that_holds_it(shapes: list[tuple[int, int]]) -> None:
    batches = plan_batches(shapes, CANVASES, SIZES)
    assert sorted(image for batch in batches for image in batch.images) == list(range(len(shapes)))
    for batch in batches:
        assert batch.canvas in CANVASES
        assert batch.size in SIZES
        assert 4 * len(batch.images) >= 3 * batch.size
        assert all(shapes[i][0] <= batch.canvas[0] and shapes[i][1] <= batch.canvas[1] for i in batch.images)
