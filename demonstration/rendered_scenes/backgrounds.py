"""The planes that close a scene: the floor that things stand on, the walls around."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray
from demonstration.rendered_scenes.textures import plastic_texture, table_texture, wall_texture

_FAR = np.float32(1e9)


@dataclass(frozen=True)
class Plane:
    """The points p with normal @ p = offset, papered with a repeating texture."""

    normal: FloatArray
    offset: float
    right: FloatArray
    up: FloatArray
    texture: FloatArray
    """[H, W, 3] linear light."""
    period: float
    """Centimetres after which the texture repeats."""

    def distances(self, origin: FloatArray, directions: FloatArray) -> FloatArray:
        """[n] along rays [n, 3] from `origin` [3]; 1e9 where they never meet it from the front."""
        speed = directions @ self.normal
        with np.errstate(divide="ignore"):
            distance = (self.offset - origin @ self.normal) / np.minimum(speed, -1e-6)
        met: FloatArray = np.where(speed < -1e-6, distance, _FAR).astype(np.float32)
        return met

    def colours(self, points: FloatArray, blur: float) -> FloatArray:
        """[n, 3] linear light at points of the plane; the texture is blurred by `blur` centimetres."""
        texture = self.texture
        sigma = blur * texture.shape[1] / self.period
        if sigma > 0.5:
            texture = cv2.GaussianBlur(texture, (0, 0), sigma)
        scale = texture.shape[1] / self.period
        x = (points @ self.right * scale) % texture.shape[1]
        y = (points @ self.up * -scale) % texture.shape[0]
        shape = (-(-len(points) // 1024), 1024)
        padding = shape[0] * shape[1] - len(points)
        x, y = (np.pad(values.astype(np.float32), (0, padding)).reshape(shape) for values in (x, y))
        looked_up: FloatArray = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return looked_up.reshape(-1, 3)[: len(points)]


@dataclass(frozen=True)
class Background:
    """Floor and walls. The floor is the first plane."""

    planes: tuple[Plane, ...]
    gloss: float
    """Of the floor: 0 dull, 1 a mirror at grazing angles."""
    roughness: float
    """Of the floor: how blurred its reflections are, 0 to 1."""
    back: float
    """y of the wall behind, in centimetres."""
    sides: float
    """|x| of the walls beside; things stay between them."""
    inside_fridge: bool

    def corner_shade(self, points: FloatArray) -> FloatArray:
        """[n] less light where two planes meet, 0.4 to 1."""
        shade = np.ones(len(points), np.float32)
        gaps = [np.abs(self.offset_to(plane, points)) for plane in self.planes]
        for first in range(len(gaps)):
            for second in range(first):
                shade = np.minimum(shade, 1 - 0.6 * np.exp(-(gaps[first] + gaps[second]) / 3.5))
        return shade

    @staticmethod
    def offset_to(plane: Plane, points: FloatArray) -> FloatArray:
        """[n] distance of points in front of a plane, in centimetres."""
        ahead: FloatArray = points @ plane.normal - plane.offset
        return ahead


def make_background(rng: random.Random) -> Background:
    """A table before a wall, or a shelf in a fridge."""
    return _fridge(rng) if rng.random() < 0.22 else _table(rng)


def _table(rng: random.Random) -> Background:
    back = rng.uniform(12, 30) if rng.random() < 0.8 else rng.uniform(60, 160)
    angle = rng.gauss(0, 0.08)
    floor = _turned_floor(table_texture(rng), rng.uniform(40, 80), rng.uniform(0, 2 * math.pi))
    wall = _wall(angle, back, wall_texture(rng), rng.uniform(35, 80))
    return Background((floor, wall), rng.uniform(0, 1) ** 1.3, rng.uniform(0.1, 0.8), back, 200.0, False)


def _fridge(rng: random.Random) -> Background:
    back, sides = rng.uniform(14, 24), rng.uniform(20, 32)
    lining = plastic_texture(rng)
    glass = _turned_floor(lining * np.array([0.62, 0.70, 0.69], np.float32) * rng.uniform(0.6, 1.1), 50, 0)
    quarter = math.pi / 2
    walls = [_wall(angle, away, lining, 50.0) for angle, away in ((0.0, back), (quarter, sides), (-quarter, sides))]
    return Background((glass, *walls), rng.uniform(0.5, 1), rng.uniform(0.05, 0.25), back, sides, True)


def _turned_floor(texture: FloatArray, period: float, angle: float) -> Plane:
    right = np.array([math.cos(angle), math.sin(angle), 0], np.float32)
    up = np.array([-math.sin(angle), math.cos(angle), 0], np.float32)
    return Plane(np.array([0, 0, 1], np.float32), 0.0, right, up, texture, period)


def _wall(angle: float, distance: float, texture: FloatArray, period: float) -> Plane:
    """Upright, `distance` away, straight ahead for angle 0 and to the left for a quarter turn."""
    normal = np.array([math.sin(angle), -math.cos(angle), 0], np.float32)
    right = np.array([math.cos(angle), math.sin(angle), 0], np.float32)
    return Plane(normal, -distance, right, np.array([0, 0, 1], np.float32), texture, period)
