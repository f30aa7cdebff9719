"""A piece of a thing: a solid, where it sits, and what its slots are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray
from demonstration.rendered_scenes.materials import Material
from demonstration.rendered_scenes.shapes import Hits, Shape


@dataclass(frozen=True)
class Pose:
    """A rigid motion: world = rotation @ local + translation."""

    rotation: FloatArray = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    """[3, 3]"""
    translation: FloatArray = field(default_factory=lambda: np.zeros(3, np.float32))
    """[3], in centimetres."""

    def then(self, outer: Pose) -> Pose:
        """This motion first, `outer` after it."""
        return Pose(outer.rotation @ self.rotation, outer.rotation @ self.translation + outer.translation)

    def apply(self, points: FloatArray) -> FloatArray:
        """[n, 3] local -> [n, 3] world."""
        moved: FloatArray = points @ self.rotation.T + self.translation
        return moved


@dataclass(frozen=True)
class Part:
    """A solid with its materials, by slot."""

    shape: Shape
    materials: tuple[Material, ...]
    pose: Pose = field(default_factory=Pose)

    def moved(self, outer: Pose) -> Part:
        """The same part after another motion."""
        return Part(self.shape, self.materials, self.pose.then(outer))

    def intersect(self, origins: FloatArray, directions: FloatArray) -> Hits:
        """As `Shape.intersect`, in the frame that `pose` leads to."""
        rotation = self.pose.rotation
        hits = self.shape.intersect((origins - self.pose.translation) @ rotation, directions @ rotation)
        hits.normal = hits.normal @ rotation.T
        return hits

    def corners(self) -> FloatArray:
        """[m, 3] points whose convex hull holds the part."""
        return self.pose.apply(self.shape.corners())


def rotation(axis: str, angle: float) -> FloatArray:
    """[3, 3] counter-clockwise by `angle` radians about `x`, `y` or `z`."""
    cosine, sine = np.cos(angle), np.sin(angle)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[second, first], matrix[first, second] = sine, -sine
    return matrix
