"""Keep-ratio resize onto a padded canvas: MMDetection 2.28.2's `Resize` and `Pad`, on uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vfnet_runtime.canvases import Canvas, canvas_for


@dataclass(frozen=True)
class ResizedImage:
    """What `vfnet_detector` sees of an image, and what leads its boxes back."""

    pixels: NDArray[Any]
    """uint8 [1, H, W, 3] RGB, zero beyond `valid_shape`; H and W multiples of the size divisor, or of a canvas. Or the
    image as it is stored, see `as_stored_or_resized`."""
    valid_shape: NDArray[Any]
    """int32 [1, 2], height and width of the resized image."""
    geometry: NDArray[Any]
    """float32 [1, 4]: stored width and height, then resized / stored width and height."""


def resized_size(width: int, height: int, img_scale: tuple[int, int]) -> tuple[int, int]:
    """Width and height that fit the longest and shortest side of `img_scale`, enlarging if need be.

    mmcv's `imrescale`: the factor is not rounded, the sides are, half up. A strip so thin that a
    side would vanish keeps one pixel there.
    """
    factor = min(max(img_scale) / max(width, height), min(img_scale) / min(width, height))
    return max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))


def resize_onto_canvas(
    image: NDArray[Any], img_scale: tuple[int, int], size_divisor: int, canvases: tuple[Canvas, ...] = ()
) -> ResizedImage:
    """Resize uint8 [height, width, 3] bilinearly and pad it bottom and right to the smallest canvas, or its own."""
    height, width = image.shape[:2]
    new_width, new_height = resized_size(width, height, img_scale)
    return _described(
        _onto_canvas(image, (new_height, new_width), size_divisor, canvases), image, new_height, new_width
    )


def as_stored_or_resized(image: NDArray[Any], img_scale: tuple[int, int], size_divisor: int) -> ResizedImage:
    """`resize_onto_canvas`, but the pixels as they are where resizing would only make them more."""
    height, width = image.shape[:2]
    new_width, new_height = resized_size(width, height, img_scale)
    canvas = canvas_for(new_height, new_width, (), size_divisor)
    if height * width > canvas[0] * canvas[1]:
        return resize_onto_canvas(image, img_scale, size_divisor)
    return _described(image[None], image, new_height, new_width)


def resize_into(image: NDArray[Any], target: NDArray[Any]) -> None:
    """Resize uint8 [height, width, 3] bilinearly to the size of `target`, uint8, whose rows may lie apart."""
    if image.shape == target.shape:
        target[:] = image
    else:  # straight to its place: a copy less
        cv2.resize(image, target.shape[1::-1], dst=target, interpolation=cv2.INTER_LINEAR)


def _onto_canvas(
    image: NDArray[Any], new_size: tuple[int, int], size_divisor: int, canvases: tuple[Canvas, ...]
) -> NDArray[Any]:
    new_height, new_width = new_size
    pixels = np.empty((1, *canvas_for(new_height, new_width, canvases, size_divisor), 3), np.uint8)
    resize_into(image, pixels[0, :new_height, :new_width])
    pixels[0, new_height:] = 0
    pixels[0, :new_height, new_width:] = 0
    return pixels


def _described(pixels: NDArray[Any], image: NDArray[Any], new_height: int, new_width: int) -> ResizedImage:
    height, width = image.shape[:2]
    return ResizedImage(
        pixels=pixels,
        valid_shape=np.array([[new_height, new_width]], np.int32),
        # The factors of the rounded sizes, as mmdet's `scale_factor`.
        geometry=np.array([[width, height, new_width / width, new_height / height]], np.float32),
    )
