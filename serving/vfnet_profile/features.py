"""What is measured of one image and what was found in it: the one place that says what each feature is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vfnet_images.brightness import mean_luma
from vfnet_images.decoding import ImageError, stored_size

IMAGE_SIZE, ASPECT_RATIO, BRIGHTNESS, BOXES = "image_size", "aspect_ratio", "brightness", "boxes_per_image"
CLASS, SCORE, BOX_SIZE = "class", "score", "box_size"
IMAGE_FEATURES = (IMAGE_SIZE, ASPECT_RATIO, BRIGHTNESS, BOXES)
"""One number an image."""
BOX_FEATURES = (SCORE, BOX_SIZE)
"""One number a box."""
FEATURES = (CLASS, SCORE, BOX_SIZE, BOXES, BRIGHTNESS, IMAGE_SIZE, ASPECT_RATIO)
"""All, in the order in which they are told."""
MEANINGS: Mapping[str, str] = {
    CLASS: "class of a box",
    SCORE: "score of a box",
    BOX_SIZE: "side of a box: the square root of its share of the image's area",
    BOXES: "number of boxes of an image",
    BRIGHTNESS: "mean luma of an image, 0 to 255",
    IMAGE_SIZE: "side of an image in pixels: the square root of width times height",
    ASPECT_RATIO: "width of an image divided by its height",
}
SCORE_FROM = 0.3
"""Boxes with lower scores do not count: most of what a detector answers is such, and says little."""
_LEAST_SIDE = 1e-6
_PLACES = {SCORE: 3, BOX_SIZE: 3, BOXES: 0, BRIGHTNESS: 1, IMAGE_SIZE: 0, ASPECT_RATIO: 2}
"""To which numbers are rounded. What is always the same gets a bin of its own, and is not to leave it because 0.3 - 0.1
is less than 0.2 to a computer, or because an image that was scaled has nearly its ratio."""


@dataclass(frozen=True, slots=True)
class FoundBox:
    """One box that counts."""

    label: str
    width: float
    height: float
    """Fractions of the image's width and height."""
    score: float | None = None
    """None: a person drew it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One image."""

    numbers: Mapping[str, tuple[float, ...]]
    """By feature: one number for the image, or one for each box; none where it is not known."""
    labels: tuple[str, ...] | None
    """Of the boxes; None: nobody has looked for any."""


def observe(
    image: bytes | None,
    boxes: Sequence[FoundBox] | None,
    size: tuple[int, int] | None = None,
    score_from: float = SCORE_FROM,
) -> Observation:
    """Measure one image.

    Args:
        image: encoded; None: it is not at hand. What cannot be read has neither size nor brightness.
        boxes: in any order; those with a lower score than `score_from` do not count. None: nobody has looked for any.
        size: width and height in pixels, where they are known; else they are read from `image`.
    """
    numbers: dict[str, tuple[float, ...]] = {}
    try:
        if image is not None:
            size = stored_size(image) if size is None else size
            luma = mean_luma(image)
            if luma is not None:
                numbers[BRIGHTNESS] = (luma,)
    except ImageError:
        pass
    if size is not None and min(size) > 0:
        numbers[IMAGE_SIZE] = (math.sqrt(size[0] * size[1]),)
        numbers[ASPECT_RATIO] = (size[0] / size[1],)
    if boxes is None:
        return Observation(_rounded(numbers), None)
    counted = [box for box in boxes if box.score is None or box.score >= score_from]
    numbers[BOXES] = (float(len(counted)),)
    numbers[SCORE] = tuple(box.score for box in counted if box.score is not None)
    numbers[BOX_SIZE] = tuple(math.sqrt(max(_LEAST_SIDE, box.width * box.height)) for box in counted)
    return Observation(_rounded(numbers), tuple(box.label for box in counted))


def _rounded(numbers: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    return {feature: tuple(round(value, _PLACES[feature]) for value in values) for feature, values in numbers.items()}
