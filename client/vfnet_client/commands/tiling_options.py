"""The options of tiling, for every command that detects or trains."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vfnet_client.exceptions import CommandError, VFNetClientError
from vfnet_tiling.tiling import DEFAULT_OVERLAP_RATIO, Tiling, TilingError, parse_grid_size, parse_tile_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfnet_client.client import VFNetClient

_SECONDS_TO_TELL = 5.0
_NAMES = ("tile_overlap_ratio", "tile_predictions_nms_thresh")


def add_tiling_arguments(
    parser: argparse.ArgumentParser, title: str = "tiles: also detect in parts of each image, for small objects"
) -> None:
    """Read by `tiling_from`. Their names are AutoML's."""
    group = parser.add_argument_group(title)
    size = group.add_mutually_exclusive_group()
    size.add_argument(
        "--tile-grid-size",
        metavar="COLUMNSxROWS",
        type=_reads(parse_grid_size),
        help="into so many tiles, such as 3x2",
    )
    size.add_argument(
        "--tile-size",
        metavar="WIDTH[xHEIGHT]",
        type=_reads(parse_tile_size),
        help="into tiles of so many pixels, such as 640 or 640x480; an image that fits into one is left as it is",
    )
    group.add_argument(
        "--tile-overlap-ratio",
        metavar="SHARE",
        type=float,
        help=f"of a tile that its neighbour has too (default: {DEFAULT_OVERLAP_RATIO:g})",
    )
    group.add_argument(
        "--tile-predictions-nms-thresh",
        metavar="IOU",
        type=float,
        help="of two boxes of a class from different tiles that overlap more, the better one stays (default: the "
        "model's own threshold)",
    )
    group.add_argument("--tiles-only", action="store_true", help="and not in the image as a whole")


def tiling_from(arguments: argparse.Namespace) -> Tiling | None:
    """What was given of `add_tiling_arguments`; None: nothing is tiled.

    Raises:
        CommandError: it cannot be done so.
    """
    given: Mapping[str, Any] = vars(arguments)
    others = {name: given[name] for name in _NAMES if given[name] is not None}
    if given["tile_grid_size"] is None and given["tile_size"] is None:
        for name in (*others, *(["tiles_only"] if given["tiles_only"] else [])):
            raise CommandError(
                f"--{name.replace('_', '-')} is of tiles, and there are none without --tile-grid-size or --tile-size"
            )
        return None
    try:
        return Tiling(given["tile_grid_size"], given["tile_size"], whole_image=not given["tiles_only"], **others)
    except TilingError as error:
        raise CommandError(str(error)) from error


def note_on_training(trained: Tiling | None) -> str | None:
    """For whoever detects without tiles in a network that was trained in some; None: in none."""
    if trained is None:
        return None
    options = " ".join(f"--{option}" for option in str(trained).split(", "))
    return f"the network was trained in tiles, and nothing is tiled here: {options} detects in the same"


def served_note_on_training(client: VFNetClient, tiling: Tiling | None) -> str | None:
    """The same of a server's network, once it has answered; None also where it does not tell.

    Args:
        tiling: what was asked in; None: in no tiles.
    """
    if tiling is not None:
        return None
    try:
        return note_on_training(client.trained_tiling(_SECONDS_TO_TELL))
    except VFNetClientError:  # what was asked for is there: nothing has failed
        return None


def _reads(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return parse(text)
        except TilingError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
