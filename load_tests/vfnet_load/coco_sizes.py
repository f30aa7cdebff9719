"""How large COCO's images are: a table of the common sizes and their shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

IMG_SCALE, SIZE_DIVISOR = (1333, 800), 32
"""How the stock configurations prepare an image."""


@dataclass(frozen=True, order=True)
class ImageSize:
    """In pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> ImageSize:
        """From `640x480`. Raises ValueError."""
        width, separator, height = text.lower().partition("x")
        if not separator or not (width.isdecimal() and height.isdecimal()) or not int(width) * int(height):
            raise ValueError(f"{text!r} is no size: it should read 640x480")
        return cls(int(width), int(height))

    def canvas(self) -> ImageSize:
        """What the network computes on: resized into `IMG_SCALE`, padded to multiples of `SIZE_DIVISOR`."""
        scale = min(max(IMG_SCALE) / max(self.width, self.height), min(IMG_SCALE) / min(self.width, self.height))
        sides = (max(1, int(side * scale + 0.5)) for side in (self.width, self.height))
        return ImageSize(*(-(-side // SIZE_DIVISOR) * SIZE_DIVISOR for side in sides))


COCO_SIZES: dict[ImageSize, float] = {
    ImageSize(640, 427): 40 / 125,
    ImageSize(640, 480): 30 / 125,
    ImageSize(427, 640): 10 / 125,
    ImageSize(480, 640): 9 / 125,
    ImageSize(500, 375): 9 / 125,
    ImageSize(500, 333): 7 / 125,
    ImageSize(612, 612): 6 / 125,
    ImageSize(640, 383): 6 / 125,
    ImageSize(640, 512): 5 / 125,
    ImageSize(375, 500): 3 / 125,
}
"""Shares of 125 images of COCO 2017 under free licences, each counted for the nearest of these sizes."""


def shares_of(sizes: Iterable[ImageSize]) -> dict[ImageSize, float]:
    """How `COCO_SIZES` was made: the share of `sizes` that is nearest (by width and height) to each of its keys."""
    counts = dict.fromkeys(COCO_SIZES, 0)
    for size in sizes:
        nearest = min(counts, key=lambda each: abs(each.width - size.width) + abs(each.height - size.height))
        counts[nearest] += 1
    total = sum(counts.values())
    return {size: count / total for size, count in counts.items()}


def uniform_size() -> ImageSize:
    """One size whose canvas has as many pixels as the mix's canvases have on average (to 32 columns)."""
    pixels = sum(share * _area(size.canvas()) for size, share in COCO_SIZES.items())
    height = min(IMG_SCALE)
    width = round(pixels / height / SIZE_DIVISOR) * SIZE_DIVISOR
    return ImageSize(width * 480 // height, 480)


def _area(size: ImageSize) -> int:
    return size.width * size.height
