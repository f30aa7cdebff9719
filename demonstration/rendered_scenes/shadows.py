"""How much of the lamp and of the room each point sees, worked out coarsely and smoothed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import BoolArray, FloatArray
from demonstration.rendered_scenes.lighting import Lighting
from demonstration.rendered_scenes.shading import Surface

if TYPE_CHECKING:
    from demonstration.rendered_scenes.rendering import PlacedThing

_STEP = 6  # of pixels: one point in so many rows and columns is worked out
_OPACITY = {"water_bottle": 0.55}


class Shadows:
    """Shadows of things on planes and on each other."""

    def __init__(self, lighting: Lighting, things: Sequence[PlacedThing], rng: np.random.Generator) -> None:
        self._things = things
        self._lamp = lighting.shadow_directions(rng)
        self._sky = lighting.sky_directions()
        self._spheres = [_sphere(thing.corners()) for thing in things]

    def on_planes(
        self, points: FloatArray, on_floor: BoolArray, shape: tuple[int, int]
    ) -> tuple[FloatArray, FloatArray]:
        """Shares [n] of the lamp and of the sky at `points` [n, 3], the pixels of an image of `shape`."""
        coarse = points.reshape(*shape, 3)[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
        small = coarse.shape[:2]
        lamp, sky = self._shares(coarse.reshape(-1, 3) + _lift(), skip=None)
        enlarged = [_enlarge(share.reshape(small), shape) for share in (lamp, sky)]
        # The room's light reaches walls from the front, of which the things hide next to nothing.
        return enlarged[0], np.where(on_floor, enlarged[1], 0.5 + 0.5 * enlarged[1])

    def on_thing(self, index: int, surface: Surface, seen: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Shares [n] at the n pixels of the thing's surface that are `seen` [h, w]; shadows of others only."""
        place = np.full(seen.shape, -1)
        place[seen] = np.arange(len(surface.distance))
        coarse = place[::_STEP, ::_STEP]
        known = coarse >= 0
        if not known.any():
            return np.ones(len(surface.distance)), np.ones(len(surface.distance))
        chosen = coarse[known]
        shares = self._shares(surface.point[chosen] + 0.1 * surface.normal[chosen], skip=index)
        spread = []
        for share in shares:
            values, weight = np.zeros(coarse.shape, np.float32), known.astype(np.float32)
            values[known] = share
            # What lies outside the thing counts nothing in the mean, or its edges would go dark.
            blurred = cv2.GaussianBlur(values, (0, 0), 1.0) + 1e-6 * values.sum()
            mean = blurred / (cv2.GaussianBlur(weight, (0, 0), 1.0) + 1e-6 * weight.sum())
            spread.append(cv2.resize(mean, seen.shape[::-1], interpolation=cv2.INTER_LINEAR)[seen])
        return spread[0], spread[1]

    def _shares(self, points: FloatArray, skip: int | None) -> tuple[FloatArray, FloatArray]:
        shares = []
        for directions in (self._lamp, self._sky):
            blocked = np.zeros(len(points), np.float32)
            for direction in directions:
                passed = np.ones(len(points), np.float32)
                for index in range(len(self._things)):
                    if index != skip:
                        self._block(passed, points, direction, index)
                blocked += 1 - passed
            shares.append(1 - blocked / len(directions))
        return shares[0], shares[1]

    def _block(self, passed: FloatArray, points: FloatArray, direction: FloatArray, index: int) -> None:
        """Multiply `passed` [n] by what the thing lets through from `direction`."""
        middle, radius = self._spheres[index]
        towards = middle - points
        along = towards @ direction
        near = np.flatnonzero((along > -radius) & ((towards * towards).sum(axis=1) - along**2 < radius**2))
        if not len(near):
            return
        thing = self._things[index]
        hit = np.zeros(len(near), np.bool_)
        for part in thing.parts:
            hit |= part.intersect(points[near].astype(np.float32), direction[None]).hit
        passed[near[hit]] *= 1 - _OPACITY.get(thing.name, 1.0)


def _sphere(corners: FloatArray) -> tuple[FloatArray, float]:
    middle = ((corners.min(axis=0) + corners.max(axis=0)) / 2).astype(np.float32)
    return middle, float(np.linalg.norm(corners - middle, axis=1).max())


def _lift() -> FloatArray:
    """Off the floor, or rounding would let it shadow itself."""
    return np.array([0, 0, 0.02], np.float32)


def _enlarge(share: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """[h, w] -> [H * W]."""
    smooth = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.8)
    enlarged: FloatArray = cv2.resize(smooth, shape[::-1], interpolation=cv2.INTER_CUBIC).ravel()
    return np.clip(enlarged, 0, 1)
