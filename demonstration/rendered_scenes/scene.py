"""A rendered scene with exact ground truth."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demonstration.rendered_scenes.arrays import BoolArray
from demonstration.rendered_scenes.backgrounds import make_background
from demonstration.rendered_scenes.film import compressed, develop
from demonstration.rendered_scenes.layout import place_camera, place_things
from demonstration.rendered_scenes.lighting import make_lighting
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.rendering import Renderer

_SUPERSAMPLING = 1.5  # rendered larger by this and averaged: smooth edges
_LEAST_VISIBLE = 0.3  # of its silhouette; what shows less is no fair ground truth
_ATTEMPTS = 20


@dataclass(frozen=True, eq=False)
class RenderedScene:
    """An image and what is in it. `CLASSES` are the names of the labels."""

    pixels: npt.NDArray[np.uint8]
    """[H, W, 3] RGB."""
    boxes: npt.NDArray[np.float32]
    """[n, 4] x1 y1 x2 y2 in pixels, whole numbers: each thing's silhouette tightly, hidden parts included."""
    labels: npt.NDArray[np.int64]
    """[n] indices into `CLASSES`."""
    silhouettes: BoolArray
    """[n, H, W] where each thing would be seen if nothing stood before it."""


def render_scene(seed: int, width: int = 499, height: int = 666) -> RenderedScene:
    """The scene of this number: always the same pixels on one machine, with one set of library versions.

    Args:
        seed: 0 or more.
        width: of the image in pixels; the default size is that of the fridge photos.
        height: of the image in pixels.
    """
    for attempt in range(_ATTEMPTS):
        scene = _try(random.Random(f"{seed}/{attempt}"), width, height)
        if scene is not None:
            return scene
    raise AssertionError(f"no scene {seed} of {width} x {height} after {_ATTEMPTS} attempts")


def _try(rng: random.Random, width: int, height: int) -> RenderedScene | None:
    """A scene, or None if something in it is hidden behind the rest."""
    size = round(width * _SUPERSAMPLING), round(height * _SUPERSAMPLING)
    background = make_background(rng)
    lighting = make_lighting(rng, inside_fridge=background.inside_fridge)
    camera = place_camera(rng, background, size)
    things = place_things(rng, background, camera)
    if not any(thing.name in CLASSES for thing in things):
        return None
    haze = rng.choice((0.0, 0.15, 0.5)) * (3 if background.back > 50 else 1)
    rendering = Renderer(background, lighting, things, haze, rng.randrange(2**32)).render(camera)
    silhouettes, labels = [], []
    for thing, silhouette, visible in zip(things, rendering.silhouettes, rendering.visible, strict=True):
        if thing.name in CLASSES:
            if visible.sum() < _LEAST_VISIBLE * silhouette.sum():
                return None
            silhouettes.append(_reduced(silhouette, (width, height)))
            labels.append(CLASSES.index(thing.name))
    pixels = develop(rendering.light, (width, height), rng)
    if rng.random() < 0.7:
        pixels = compressed(pixels, rng)
    boxes = np.array([_bounding_box(silhouette) for silhouette in silhouettes], np.float32)
    return RenderedScene(pixels, boxes, np.array(labels, np.int64), np.stack(silhouettes))


def _reduced(silhouette: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Pixels of the image that it covers by half or more."""
    covered: BoolArray = cv2.resize(silhouette.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    return covered


def _bounding_box(silhouette: BoolArray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
