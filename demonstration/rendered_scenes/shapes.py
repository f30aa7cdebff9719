"""Solids that rays are intersected with, each in its own frame: centimetres, z up, standing on z = 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from demonstration.rendered_scenes.arrays import BoolArray, FloatArray, unit

_FAR = np.float32(1e9)
_NEAR = 1e-3
_CREASE = 0.6  # cosine: a sharper turn of the outline stays an edge instead of being rounded


@dataclass
class Hits:
    """Where n rays first meet a solid."""

    distance: FloatArray
    """[n] along the ray; 1e9 where it misses."""
    normal: FloatArray
    """[n, 3] outward, unit length, in the frame of the rays."""
    uv: FloatArray
    """[n, 2] place in the texture of the slot, 0 to 1, u to the right and v upwards."""
    slot: npt.NDArray[np.int8]
    """[n] which of the solid's materials."""

    @property
    def hit(self) -> BoolArray:
        """[n]: the ray meets the solid."""
        met: BoolArray = self.distance < _FAR
        return met


class Shape(Protocol):
    """A closed solid."""

    def intersect(self, origins: FloatArray, directions: FloatArray) -> Hits:
        """Rays [n or 1, 3], at least one of the two with n rows."""

    def corners(self) -> FloatArray:
        """[m, 3] points whose convex hull holds the solid tightly."""


class Lathe:
    """A surface of revolution about z, made of cone frustums.

    Args:
        profile: [n, 2] radius and height, from the bottom's centre to the top's.
        slots: [n - 1] the material of each frustum; neighbours of one slot share its texture.
    """

    def __init__(self, profile: FloatArray, slots: Sequence[int]) -> None:
        self._profile = np.asarray(profile, np.float32)
        self._slots = np.asarray(slots, np.int8)
        steps = np.diff(self._profile, axis=0)
        self._lengths = np.linalg.norm(steps, axis=1)
        self._flat_normals = np.stack([steps[:, 1], -steps[:, 0]], axis=1) / self._lengths[:, None]
        self._start_normals, self._end_normals = self._smooth_normals()
        self._v_start, self._v_end = self._texture_heights()

    def _smooth_normals(self) -> tuple[FloatArray, FloatArray]:
        flat = self._flat_normals
        start, end = flat.copy(), flat.copy()
        for joint in range(len(flat) - 1):
            if flat[joint] @ flat[joint + 1] > _CREASE:
                end[joint] = start[joint + 1] = unit(flat[joint] + flat[joint + 1])
        return start, end

    def _texture_heights(self) -> tuple[FloatArray, FloatArray]:
        start, end = np.zeros(len(self._slots), np.float32), np.zeros(len(self._slots), np.float32)
        for slot in set(self._slots.tolist()):
            members = np.flatnonzero(self._slots == slot)
            along = np.cumsum(self._lengths[members])
            end[members] = along / along[-1]
            start[members] = (along - self._lengths[members]) / along[-1]
        return start, end

    def corners(self) -> FloatArray:
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        rings = [np.column_stack([radius * rim, np.full(len(rim), height)]) for radius, height in self._profile]
        points: FloatArray = np.concatenate(rings).astype(np.float32)
        return points

    def intersect(self, origins: FloatArray, directions: FloatArray) -> Hits:
        n = max(len(origins), len(directions))
        best = np.full(n, _FAR, np.float32)
        segment = np.zeros(n, np.intp)
        for index in range(len(self._slots)):
            distance = self._meet(index, origins, directions)
            nearer = distance < best
            best[nearer] = distance[nearer]
            segment[nearer] = index
        return self._describe(origins, directions, best, segment)

    def _meet(self, index: int, origins: FloatArray, directions: FloatArray) -> FloatArray:
        """[n] distance to one frustum, or far."""
        (radius, low), (next_radius, high) = self._profile[index], self._profile[index + 1]
        (x, y, z), (dx, dy, dz) = origins.T, directions.T
        if abs(high - low) < 1e-6:
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (low - z) / dz
                squared = (x + distance * dx) ** 2 + (y + distance * dy) ** 2
            inner, outer = sorted((radius, next_radius))
            inside = (squared >= inner**2) & (squared <= outer**2) & (distance > _NEAR)
            flat: FloatArray = np.where(inside, distance, _FAR)
            return flat
        slope = (next_radius - radius) / (high - low)
        radius_there, change = radius + slope * (z - low), slope * dz
        a = dx * dx + dy * dy - change * change
        b = x * dx + y * dy - radius_there * change
        root = np.sqrt(np.maximum(b * b - a * (x * x + y * y - radius_there**2), 0))
        real = b * b >= a * (x * x + y * y - radius_there**2)
        best: FloatArray = np.full(real.shape, _FAR, np.float32)
        for sign in (-1, 1):
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (sign * root - b) / a
            height = z + distance * dz
            met = real & (distance > _NEAR) & (height >= low) & (height <= high)
            met &= (distance < best) & (radius_there + distance * change >= 0)
            best = np.where(met, distance, best)
        return best

    def _describe(
        self, origins: FloatArray, directions: FloatArray, distance: FloatArray, segment: npt.NDArray[np.intp]
    ) -> Hits:
        points = origins + np.where(distance < _FAR, distance, 0)[:, None] * directions
        across = np.hypot(points[:, 0], points[:, 1])
        start = self._profile[segment]
        gone = np.hypot(across - start[:, 0], points[:, 2] - start[:, 1]) / self._lengths[segment]
        gone = np.clip(gone, 0, 1)[:, None].astype(np.float32)
        meridian = self._start_normals[segment] * (1 - gone) + self._end_normals[segment] * gone
        outward = points[:, :2] / np.maximum(across, 1e-6)[:, None]
        normal = unit(np.column_stack([outward * meridian[:, :1], meridian[:, 1]]))
        turn = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) + 0.5
        height = self._v_start[segment] + gone[:, 0] * (self._v_end[segment] - self._v_start[segment])
        return Hits(distance, normal, np.column_stack([turn, height]), self._slots[segment])


@dataclass(frozen=True)
class Face:
    """A side of a convex solid: the points p with normal @ p <= offset; u and v run along `right` and `up`."""

    normal: FloatArray
    offset: float
    right: FloatArray
    up: FloatArray
    origin: FloatArray
    """Where u = v = 0."""
    size: tuple[float, float]
    """Length of u and v from 0 to 1, in centimetres."""
    slot: int


class ConvexSolid:
    """The intersection of half-spaces."""

    def __init__(self, faces: Sequence[Face], corners: FloatArray) -> None:
        self._faces = tuple(faces)
        self._corners = np.asarray(corners, np.float32)

    def corners(self) -> FloatArray:
        return self._corners

    def intersect(self, origins: FloatArray, directions: FloatArray) -> Hits:
        n = max(len(origins), len(directions))
        enter, leave = np.full(n, _NEAR, np.float32), np.full(n, _FAR, np.float32)
        through = np.full(n, -1, np.intp)
        for index, face in enumerate(self._faces):
            speed = directions @ face.normal
            ahead = face.offset - origins @ face.normal
            distance = ahead / np.where(np.abs(speed) < 1e-9, 1e-9, speed)
            entering = (speed < 0) & (distance > enter)
            enter = np.where(entering, distance, enter)
            through[entering] = index
            leave = np.where(speed > 0, np.minimum(leave, distance), leave)
            leave = np.where((speed == 0) & (ahead < 0), 0, leave)  # alongside, outside
        hit = (enter < leave) & (through >= 0)
        return self._describe(origins, directions, np.where(hit, enter, _FAR).astype(np.float32), through)

    def _describe(
        self, origins: FloatArray, directions: FloatArray, distance: FloatArray, through: npt.NDArray[np.intp]
    ) -> Hits:
        points = origins + np.where(distance < _FAR, distance, 0)[:, None] * directions
        normals = np.stack([face.normal for face in self._faces]).astype(np.float32)[through]
        uv = np.zeros((len(points), 2), np.float32)
        for index, face in enumerate(self._faces):
            mine = through == index
            relative = points[mine] - face.origin
            uv[mine] = np.column_stack([relative @ face.right / face.size[0], relative @ face.up / face.size[1]])
        slots = np.array([face.slot for face in self._faces], np.int8)[through]
        return Hits(distance, normals, np.clip(uv, 0, 1), slots)
