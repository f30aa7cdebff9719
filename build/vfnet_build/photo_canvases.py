"""The network's input sizes for the commonest photos."""

from __future__ import annotations

from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_runtime.resizing import resized_size

PHOTO_SIZES = ((640, 480), (640, 427), (480, 640), (427, 640), (640, 360), (360, 640), (640, 640))
"""Width and height, the commonest first: 4:3, 3:2, 3:4, 2:3, 16:9, 9:16, square."""


def photo_canvases(preprocess: PreprocessConfig) -> list[tuple[int, int]]:
    """Heights and widths, the commonest first, without repetitions."""
    divisor = preprocess.size_divisor
    sizes = (resized_size(width, height, preprocess.img_scale) for width, height in PHOTO_SIZES)
    return list(
        dict.fromkeys((-(-height // divisor) * divisor, -(-width // divisor) * divisor) for width, height in sizes)
    )
