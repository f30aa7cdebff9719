"""What a surface looks like up close."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import Colour, FloatArray, to_linear
from demonstration.rendered_scenes.labels import Pixels


@dataclass(frozen=True)
class Material:
    """Colour and shine. A metal reflects in its own colour, anything else in that of the light."""

    texture: FloatArray
    """[H, W, 3] linear light, first row at v = 1."""
    roughness: float = 0.3
    reflectance: float = 0.04
    """Of light that falls straight on it; 0.04 is plastic's, and grows towards grazing angles (Schlick 1994)."""
    metal: bool = False
    clear: bool = False
    """Seen through: the texture is the tint."""

    def sample(self, uv: FloatArray) -> FloatArray:
        """[n, 2] -> [n, 3] linear light, interpolated; wraps around in u."""
        height, width = self.texture.shape[:2]
        if height == width == 1:
            return np.broadcast_to(self.texture[0, 0], (len(uv), 3))
        columns = (uv[:, 0] * width).astype(np.float32)
        rows = ((1 - uv[:, 1]) * (height - 1)).astype(np.float32)
        # remap takes no more than 32767 columns: fold the list of places into a rectangle.
        folded = -(-len(uv) // 1024)
        padding = folded * 1024 - len(uv)
        shape = (folded, 1024)
        x, y = (np.pad(values, (0, padding)).reshape(shape) for values in (columns, rows))
        colours = cv2.remap(self.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        sampled: FloatArray = colours.reshape(-1, 3)[: len(uv)]
        return sampled


def plain(
    colour: Colour, *, roughness: float = 0.3, reflectance: float = 0.04, metal: bool = False, clear: bool = False
) -> Material:
    """One colour all over."""
    texture = to_linear(np.array([[colour]], np.uint8))
    return Material(texture, roughness, reflectance, metal, clear)


def printed(label: Pixels, *, roughness: float = 0.3, reflectance: float = 0.04) -> Material:
    """A label."""
    return Material(to_linear(label), roughness, reflectance)
