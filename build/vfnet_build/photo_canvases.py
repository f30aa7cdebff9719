"""The network's input sizes for the commonest photos."""

from __future__ import annotations

from pathlib import Path

from vfnet_model.served_repository import import_served
from vfnet_runtime.architecture.config import PreprocessConfig

PHOTO_SIZES = ((640, 480), (640, 427), (480, 640), (427, 640), (640, 360), (360, 640), (640, 640))
"""Width and height, the commonest first: 4:3, 3:2, 3:4, 2:3, 16:9, 9:16, square."""


def photo_canvases(preprocess: PreprocessConfig, repository: Path) -> list[tuple[int, int]]:
    """Heights and widths, the commonest first, without repetitions.

    Args:
        repository: the one whose `vfnet_preprocess` is asked.
    """
    resizing = import_served(repository, "vfnet_preprocess", "resizing")
    divisor = preprocess.size_divisor
    sizes = (resizing.resized_size(width, height, preprocess.img_scale) for width, height in PHOTO_SIZES)
    return list(
        dict.fromkeys((-(-height // divisor) * divisor, -(-width // divisor) * divisor) for width, height in sizes)
    )
