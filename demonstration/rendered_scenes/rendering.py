"""Light arriving at the camera: floor and walls first, then the things from far to near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import BoolArray, FloatArray
from demonstration.rendered_scenes.backgrounds import Background
from demonstration.rendered_scenes.camera import Camera, Window
from demonstration.rendered_scenes.lighting import Lighting
from demonstration.rendered_scenes.parts import Part
from demonstration.rendered_scenes.shading import Surface, meet, shade, tint_through
from demonstration.rendered_scenes.shadows import Shadows


@dataclass(frozen=True)
class PlacedThing:
    """A thing where it stands or lies in the scene."""

    name: str
    parts: tuple[Part, ...]

    def corners(self) -> FloatArray:
        """[m, 3] points whose convex hull holds it."""
        return np.concatenate([part.corners() for part in self.parts])


@dataclass(frozen=True)
class Rendering:
    """What the camera would see through a perfect lens."""

    light: FloatArray
    """[H, W, 3] linear."""
    silhouettes: tuple[BoolArray, ...]
    """[H, W] per thing: where it would be seen if nothing stood before it."""
    visible: tuple[BoolArray, ...]
    """[H, W] per thing: where it is seen."""


class Renderer:
    """One scene, to be looked at by cameras."""

    def __init__(
        self, background: Background, lighting: Lighting, things: Sequence[PlacedThing], haze: float, seed: int
    ) -> None:
        """`haze` blurs the walls, in centimetres: they are out of focus."""
        self._background = background
        self._lighting = lighting
        self._things = tuple(things)
        self._haze = haze
        self._shadows = Shadows(lighting, self._things, np.random.default_rng(seed))

    def render(self, camera: Camera) -> Rendering:
        """The whole picture and where each thing is in it."""
        light, on_floor = self._planes(camera, shadowed=True)
        reflection = self._reflection(camera, on_floor)
        light = np.where(on_floor[..., None], light + reflection, light).astype(np.float32)
        return self._with_things(light, camera, shadowed=True)

    def _with_things(self, light: FloatArray, camera: Camera, *, shadowed: bool) -> Rendering:
        shape = light.shape[:2]
        silhouettes = [np.zeros(shape, np.bool_) for _ in self._things]
        visible = [np.zeros(shape, np.bool_) for _ in self._things]
        depth = np.full(shape, np.float32(1e9))
        far_first = sorted(range(len(self._things)), key=lambda index: -self._distance(index, camera))
        for index in far_first:
            thing = self._things[index]
            window = camera.window_around(thing.corners())
            if window is None:
                continue
            surface = meet(thing.parts, camera.position, camera.rays(window))
            hit = surface.hit.reshape(window.shape)
            silhouettes[index][window.slices] = hit
            seen = hit & (surface.distance.reshape(window.shape) < depth[window.slices])
            if not seen.any():
                continue
            self._paint(light, window, surface.where(seen.ravel()), seen, camera, index if shadowed else None)
            depth[window.slices][seen] = surface.distance[seen.ravel()]
            for other in visible:
                other[window.slices] &= ~seen
            visible[index][window.slices] = seen
        return Rendering(light, tuple(silhouettes), tuple(visible))

    def _paint(
        self, light: FloatArray, window: Window, surface: Surface, seen: BoolArray, camera: Camera, index: int | None
    ) -> None:
        behind = light[window.slices]
        lamp_share = sky_share = np.ones(len(surface.distance), np.float32)
        if index is not None:
            lamp_share, sky_share = self._shadows.on_thing(index, surface, seen)
        colours = shade(surface, self._lighting, camera.position, lamp_share, sky_share)
        if surface.clear.any():
            through = tint_through(behind, surface, seen, camera)
            colours = np.where(surface.clear[:, None], through + colours, colours)
        behind[seen] = colours

    def _distance(self, index: int, camera: Camera) -> float:
        middle = self._things[index].corners().mean(axis=0)
        return float(np.linalg.norm(middle - camera.position))

    def _planes(self, camera: Camera, *, shadowed: bool) -> tuple[FloatArray, BoolArray]:
        """Floor and walls as the lamp lights them: [h, w, 3], and [h, w] whether it is the floor."""
        window = camera.window()
        rays, shape = camera.rays(window), window.shape
        planes = self._background.planes
        distances = np.stack([plane.distances(camera.position, rays) for plane in planes])
        nearest = distances.argmin(axis=0)
        distance = np.minimum(distances.min(axis=0), np.float32(2000))  # the sky beyond the walls, if any
        points = camera.position + rays * distance[:, None]
        light = np.empty_like(points)
        lamp_share = sky_share = np.ones(len(points), np.float32)
        if shadowed:
            lamp_share, sky_share = self._shadows.on_planes(points, nearest == 0, shape)
        corner = self._background.corner_shade(points)
        for index, plane in enumerate(planes):
            mine = nearest == index
            if not mine.any():
                continue
            here = points[mine]
            normals = np.broadcast_to(plane.normal, here.shape)
            lit = self._lighting.direct(here, normals) * lamp_share[mine, None]
            lit = lit + self._lighting.ambient(normals) * (sky_share * corner)[mine, None]
            light[mine] = plane.colours(here, 0.0 if index == 0 else self._haze) * lit
        return light.reshape(*shape, 3), (nearest == 0).reshape(shape)

    def _reflection(self, camera: Camera, on_floor: BoolArray) -> FloatArray:
        """[H, W, 3] what the floor mirrors, blurred by its roughness, weakened as Schlick's formula says."""
        gloss = self._background.gloss
        if gloss < 0.05:
            return np.zeros((camera.height, camera.width, 3), np.float32)
        half = Camera(
            camera.position, camera.axes, camera.width // 2, camera.height // 2, camera.focal_length / 2
        ).mirrored()
        rays = half.rays(half.window())
        roughness = np.full(len(rays), self._background.roughness, np.float32)
        seen = self._lighting.reflected(rays, roughness).reshape(half.height, half.width, 3)
        walls, below = self._planes(half, shadowed=False)
        seen = np.where(below[..., None], seen, walls + 0.2 * seen).astype(np.float32)
        seen = self._with_things(seen, half, shadowed=False).light
        sigma = 0.6 + self._background.roughness * half.height * 0.02
        seen = cv2.GaussianBlur(seen, (0, 0), sigma, sigmaY=sigma * 1.8)
        seen = cv2.resize(seen, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)
        cosine = np.abs(camera.rays(camera.window())[:, 2]).reshape(on_floor.shape)
        weight = gloss * (0.04 + 0.96 * (1 - cosine) ** 4)
        mirrored: FloatArray = np.where(on_floor, weight, 0)[..., None] * seen
        return mirrored
