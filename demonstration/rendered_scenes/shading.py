"""From where rays meet things to the light that comes back along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import BoolArray, FloatArray
from demonstration.rendered_scenes.camera import Camera
from demonstration.rendered_scenes.lighting import Lighting
from demonstration.rendered_scenes.parts import Part

_FAR = np.float32(1e9)


@dataclass(frozen=True)
class Surface:
    """The nearest point of a thing on each of n rays, and what it is made of there."""

    distance: FloatArray
    """[n], 1e9 where the ray misses."""
    point: FloatArray
    normal: FloatArray
    colour: FloatArray
    roughness: FloatArray
    reflectance: FloatArray
    metal: BoolArray
    clear: BoolArray

    @property
    def hit(self) -> BoolArray:
        """[n]"""
        met: BoolArray = self.distance < _FAR
        return met

    def where(self, chosen: BoolArray) -> Surface:
        """Only some rays."""
        return Surface(**{name: values[chosen] for name, values in vars(self).items()})


def meet(parts: Sequence[Part], origin: FloatArray, rays: FloatArray) -> Surface:
    """The nearest of all parts along rays [n, 3] from `origin` [3]."""
    n = len(rays)
    distance = np.full(n, _FAR, np.float32)
    normal, colour = np.zeros((n, 3), np.float32), np.zeros((n, 3), np.float32)
    roughness, reflectance = np.zeros(n, np.float32), np.zeros(n, np.float32)
    metal, clear = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for part in parts:
        hits = part.intersect(origin[None].astype(np.float32), rays)
        nearer = hits.distance < distance
        distance[nearer], normal[nearer] = hits.distance[nearer], hits.normal[nearer]
        for slot, material in enumerate(part.materials):
            mine = nearer & (hits.slot == slot)
            if not mine.any():
                continue
            colour[mine] = material.sample(hits.uv[mine])
            roughness[mine], reflectance[mine] = material.roughness, material.reflectance
            metal[mine], clear[mine] = material.metal, material.clear
    point = origin + rays * np.where(distance < _FAR, distance, 0)[:, None]
    return Surface(distance, point, normal, colour, roughness, reflectance, metal, clear)


def shade(
    surface: Surface, lighting: Lighting, eye: FloatArray, lamp_share: FloatArray, sky_share: FloatArray
) -> FloatArray:
    """[n, 3] linear light towards `eye`: scattered and mirrored; of clear material only what it mirrors.

    Args:
        lamp_share: [n] how much of the lamp each point sees.
        sky_share: [n] how much of the room.
    """
    incoming = surface.point - eye
    incoming /= np.linalg.norm(incoming, axis=1, keepdims=True)
    cosine = -(incoming * surface.normal).sum(axis=1)
    mirrored = incoming + 2 * cosine[:, None] * surface.normal
    fresnel = surface.reflectance + (1 - surface.reflectance) * (1 - np.clip(cosine, 0, 1)) ** 5
    fresnel *= 1 - 0.6 * surface.roughness
    gloss = lighting.reflected(mirrored, surface.roughness) * (0.3 + 0.7 * sky_share)[:, None] * fresnel[:, None]
    gloss = np.where(surface.metal[:, None], gloss * surface.colour, gloss)
    near_floor = 1 - 0.45 * np.exp(-np.maximum(surface.point[:, 2], 0) / 2.5) * (surface.normal[:, 2] < 0.7)
    lit = lighting.direct(surface.point, surface.normal) * lamp_share[:, None]
    lit = lit + lighting.ambient(surface.normal) * (sky_share * near_floor)[:, None]
    scattered = np.where((surface.metal | surface.clear)[:, None], 0.12 * surface.metal[:, None], 1) * lit
    shaded: FloatArray = scattered * surface.colour + gloss
    return shaded


def tint_through(behind: FloatArray, surface: Surface, seen: BoolArray, camera: Camera) -> FloatArray:
    """[n, 3] what is seen through clear material: the picture so far, displaced as a lens would, and tinted.

    Args:
        behind: [h, w, 3] the window of the picture that the thing covers, before it is painted.
        seen: [h, w] its n pixels.
    """
    side = surface.normal @ camera.axes[:2].T  # to the right, down
    facing = np.clip(-(surface.normal @ camera.axes[2]), 0, 1)
    rows, columns = np.nonzero(seen)
    reach = 0.45 * min(np.ptp(rows) + 1, np.ptp(columns) + 1)
    bend = (1 - facing) * reach * 1.6
    x = np.clip(columns - side[:, 0] * bend, 0, seen.shape[1] - 1).astype(np.float32)
    y = np.clip(rows - side[:, 1] * bend, 0, seen.shape[0] - 1).astype(np.float32)
    shape = (-(-len(x) // 1024), 1024)
    padding = shape[0] * shape[1] - len(x)
    x, y = (np.pad(values, (0, padding)).reshape(shape) for values in (x, y))
    looked_up = cv2.remap(np.ascontiguousarray(behind), x, y, cv2.INTER_LINEAR).reshape(-1, 3)[: len(rows)]
    thickness = 1 / np.maximum(facing, 0.22)
    through: FloatArray = looked_up * surface.colour ** (0.35 * thickness[:, None]) * (0.35 + 0.65 * facing[:, None])
    return through
