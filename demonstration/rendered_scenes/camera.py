"""A pinhole camera over the floor z = 0: centimetres, x right, y away, z up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray, unit


@dataclass(frozen=True)
class Window:
    """A rectangle of the image in pixels of the rendering: rows top..bottom, columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """To cut the window out of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Camera:
    """Where it is, where it looks, and how large its image is."""

    position: FloatArray
    """[3]"""
    axes: FloatArray
    """[3, 3], rows: right, down and forward in the world."""
    width: int
    height: int
    focal_length: float
    """In pixels."""

    @staticmethod
    def looking(position: FloatArray, target: FloatArray, roll: float, field: float, size: tuple[int, int]) -> Camera:
        """A camera at `position` with `target` in the middle.

        Args:
            roll: radians, clockwise.
            field: the angle that the longer side of the image spans, in radians.
            size: width and height in pixels.
        """
        forward = unit(target - position)
        right = unit(np.cross(forward, np.array([0.0, 0, 1])))
        down = np.cross(forward, right)
        turned = math.cos(roll) * right + math.sin(roll) * down
        axes = np.stack([turned, np.cross(forward, turned), forward]).astype(np.float32)
        focal_length = max(size) / 2 / math.tan(field / 2)
        return Camera(position.astype(np.float32), axes, size[0], size[1], focal_length)

    def window(self) -> Window:
        """The whole image."""
        return Window(0, self.height, 0, self.width)

    def rays(self, window: Window) -> FloatArray:
        """[n, 3] unit directions through the pixels' centres, row by row."""
        x = np.arange(window.left, window.right, dtype=np.float32) + 0.5 - self.width / 2
        y = np.arange(window.top, window.bottom, dtype=np.float32) + 0.5 - self.height / 2
        grid = np.empty((len(y), len(x), 3), np.float32)
        grid[..., 0], grid[..., 1], grid[..., 2] = x[None], y[:, None], self.focal_length
        return unit(grid.reshape(-1, 3) @ self.axes)

    def project(self, points: FloatArray) -> FloatArray:
        """[n, 3] -> [n, 2] x and y in pixels; points must lie in front."""
        local = (points - self.position) @ self.axes.T
        image: FloatArray = local[:, :2] / local[:, 2:] * self.focal_length
        return image + np.array([self.width / 2, self.height / 2], np.float32)

    def window_around(self, points: FloatArray) -> Window | None:
        """The pixels that the convex hull of `points` can touch, or None if none."""
        if ((points - self.position) @ self.axes[2]).min() < 1:
            return None
        image = self.project(points)
        left, top = np.maximum(np.floor(image.min(axis=0)).astype(int) - 1, 0)
        right, bottom = np.minimum(np.ceil(image.max(axis=0)).astype(int) + 1, (self.width, self.height))
        return Window(int(top), int(bottom), int(left), int(right)) if top < bottom and left < right else None

    def mirrored(self) -> Camera:
        """What the floor shows: the camera under it, whose image is the reflection at the same pixels."""
        flip = np.array([1, 1, -1], np.float32)
        return Camera(self.position * flip, self.axes * flip, self.width, self.height, self.focal_length)
