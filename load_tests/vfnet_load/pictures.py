"""JPEGs that look like photos of a fridge, made of the page's rendered sample: nothing is fetched, nothing is owed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from PIL import Image, ImageOps

from vfnet_load.coco_sizes import COCO_SIZES, ImageSize, uniform_size

_NOISE, _QUALITY = 13.0, 92
"""Grain and quality that give COCO's half a byte a pixel."""


@dataclass(frozen=True)
class Picture:
    """An encoded image."""

    size: ImageSize
    jpeg: bytes

    @property
    def digest(self) -> str:
        """Names its very bytes."""
        return hashlib.sha256(self.jpeg).hexdigest()[:16]


def make_picture(size: ImageSize) -> Picture:
    """The sample cut to this shape, with the grain of a sensor; the same bytes every time."""
    source = files("vfnet_gateway.page").joinpath("sample.png").read_bytes()
    with Image.open(io.BytesIO(source)) as sample:
        fitted = ImageOps.fit(sample.convert("RGB"), (size.width, size.height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(size.width * 10_000 + size.height).normal(0, _NOISE, (size.height, size.width, 3))
    noisy = (np.asarray(fitted, np.float64) + grain).clip(0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(noisy).save(encoded, "JPEG", quality=_QUALITY)
    return Picture(size, encoded.getvalue())


def read_sizes(text: str) -> Mapping[ImageSize, float]:
    """Sizes and their shares: `coco`, `uniform` (one size, as many pixels for the network) or such as `640x480`.

    Raises:
        ValueError: it is none of these.
    """
    if text == "coco":
        return COCO_SIZES
    return {(uniform_size() if text == "uniform" else ImageSize.parse(text)): 1.0}
