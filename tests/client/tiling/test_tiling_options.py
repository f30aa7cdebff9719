"""`--tile-...` of the commands: what goes together, and what a person is told."""

from __future__ import annotations

import argparse

import pytest

from vfnet_client.commands.tiling_options import add_tiling_arguments, tiling_from
from vfnet_client.exceptions import CommandError
from vfnet_tiling.tiling import Tiling


def chosen(*words: str) -> Tiling | None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_tiling_arguments(parser)
    return tiling_from(parser.parse_args(words))


def test_options_are_the_tiling() -> None:
    assert chosen() is None
    assert chosen("--tile-grid-size", "3x2") == Tiling(tile_grid_size=(3, 2))
    assert chosen("--tile-size", "640", "--tile-overlap-ratio", "0.2", "--tiles-only") == Tiling(
        tile_size=(640, 640), tile_overlap_ratio=0.2, whole_image=False
    )
    assert chosen("--tile-size", "640x480", "--tile-predictions-nms-thresh", "0") == Tiling(
        tile_size=(640, 480), tile_predictions_nms_thresh=0.0
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tile-grid-size", "3x2", "--tile-overlap-ratio", "1"), "tiles overlap by 1; it is a share of a tile"),
        (("--tile-grid-size", "1x1"), "a grid of 1x1 tiles divides nothing"),
        (("--tile-size", "3"), "tiles of 3x3 pixels are too small"),
        (("--tile-overlap-ratio", "0.1"), "--tile-overlap-ratio is of tiles, and there are none without"),
        (("--tiles-only",), "--tiles-only is of tiles"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(CommandError) as caught:
        chosen(*words)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tile-grid-size", "3x2", "--tile-size", "640"), "not allowed with argument --tile-grid-size"),
        (("--tile-grid-size", "3"), "'3' is no grid of tiles such as 3x2"),
        (("--tile-size", "big"), "'big' is no size of tiles such as 640"),
    ],
)
def test_what_cannot_be_read_is_argparse_s_affair(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(argparse.ArgumentError) as caught:
        chosen(*words)
    assert told in str(caught.value)
