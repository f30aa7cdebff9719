"""The very decoding and resizing that serve, so that the network is trained on the pixels it will see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from vfnet_client.bounded_files import read_file
from vfnet_client.images import MAX_FILE_BYTES
from vfnet_runtime.image_decoding import ImageError, decode_image
from vfnet_runtime.resizing import resize_onto_canvas
from vfnet_train.errors import FinetuneError

Pixels = npt.NDArray[Any]
_MAX_IMAGE_PIXELS = 10**9  # the data are the caller's own


def decode_image_file(path: Path) -> Pixels:
    """uint8 [height, width, 3] RGB, in the frame of the stored pixels.

    Raises:
        FinetuneError: it cannot be read.
    """
    try:
        pixels: Pixels = decode_image(read_file(path, MAX_FILE_BYTES), _MAX_IMAGE_PIXELS)
    except (OSError, ImageError) as error:
        raise FinetuneError(f"{path} cannot be read: {error}") from None
    return pixels


def resize_to_fit(image: Pixels, scale: tuple[int, int]) -> Pixels:
    """Resize [height, width, 3] bilinearly to fit a scale's longest and shortest side, as mmdet and the server do."""
    resized: Pixels = resize_onto_canvas(image, scale, size_divisor=1).pixels[0]
    return resized
