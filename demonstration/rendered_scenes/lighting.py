"""Where the light comes from: a lamp or window, the room around, and what shiny things reflect of both."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray, unit

_SHADOW_SAMPLES, _SKY_SAMPLES = 9, 12


@dataclass(frozen=True)
class Panel:
    """Something bright, far away: a window or a lamp."""

    direction: FloatArray
    """[3] unit."""
    right: FloatArray
    up: FloatArray
    half_width: float
    """Tangent of half the angle it spans."""
    half_height: float
    brightness: float


@dataclass(frozen=True)
class Lighting:
    """All light of a scene. Colours are [3] linear, about 1."""

    position: FloatArray
    """[3] of the lamp, in centimetres: near enough that its light falls off across the scene."""
    lamp_size: float
    """Radius in centimetres: how soft its shadows are."""
    colour: FloatArray
    brightness: float
    sky: FloatArray
    ground: FloatArray
    panels: tuple[Panel, ...]

    def direct(self, points: FloatArray, normals: FloatArray) -> FloatArray:
        """[n, 3] from the lamp, as if nothing stood in between; 1 at the origin, facing it, times brightness."""
        towards = self.position - points
        squared = (towards * towards).sum(axis=1)
        facing = np.maximum((towards * normals).sum(axis=1) / np.sqrt(squared), 0)
        falloff = (self.position @ self.position) / squared
        lit: FloatArray = (self.brightness * facing * falloff)[:, None] * self.colour
        return lit

    def ambient(self, normals: FloatArray) -> FloatArray:
        """[n, 3] from all around: the sky on what faces up, the floor's glow on what faces down."""
        up = (0.5 + 0.5 * normals[:, 2:]).astype(np.float32)
        around: FloatArray = self.ground * (1 - up) + self.sky * up
        return around

    def reflected(self, directions: FloatArray, roughness: FloatArray) -> FloatArray:
        """[n, 3] what comes from unit `directions` [n, 3], blurred by `roughness` [n]."""
        up = np.clip(directions[:, 2:] * 0.5 + 0.5, 0, 1)
        seen = 0.55 * self.ambient(directions) * (0.35 + up)
        for panel in self.panels:
            depth = directions @ panel.direction
            safe = np.maximum(depth, 1e-3)
            soft = 0.03 + roughness * 0.9
            across = _edge((panel.half_width - np.abs(directions @ panel.right / safe)) / soft)
            along = _edge((panel.half_height - np.abs(directions @ panel.up / safe)) / soft)
            spread = panel.half_width * panel.half_height / ((panel.half_width + soft) * (panel.half_height + soft))
            strength = np.where(depth > 0, across * along, 0) * panel.brightness * spread
            seen = seen + strength[:, None] * self.colour
        return seen

    def shadow_directions(self, rng: np.random.Generator) -> FloatArray:
        """[k, 3] from the origin to places on the lamp."""
        jitter = unit(rng.normal(size=(_SHADOW_SAMPLES, 3)))
        return unit(self.position + jitter * self.lamp_size).astype(np.float32)

    @staticmethod
    def sky_directions() -> FloatArray:
        """[k, 3] evenly over the upper hemisphere, more of them where light counts more (by the cosine)."""
        index = np.arange(_SKY_SAMPLES) + 0.5
        sine = np.sqrt(index / _SKY_SAMPLES)
        turn = index * math.pi * (3 - math.sqrt(5))  # a sunflower's spiral
        return np.column_stack([sine * np.cos(turn), sine * np.sin(turn), np.sqrt(1 - sine**2)]).astype(np.float32)


def make_lighting(rng: random.Random, *, inside_fridge: bool) -> Lighting:
    """Daylight from a window or a lamp's, from any side but below; in a fridge from the ceiling."""
    azimuth = rng.uniform(math.pi, 2 * math.pi) if rng.random() < 0.75 else rng.uniform(0, math.pi)
    elevation = math.radians(rng.uniform(60, 85) if inside_fridge else rng.uniform(32, 75))
    distance = rng.uniform(55, 90) if inside_fridge else rng.uniform(90, 260)
    towards = _direction(azimuth, elevation)
    warmth = rng.uniform(-1, 1)
    colour = np.array([1 + 0.1 * warmth, 1.0, 1 - 0.16 * warmth], np.float32)
    fill = rng.uniform(0.3, 0.75)
    sky = fill * np.array([1 + 0.05 * warmth, 1.0, 1 - 0.05 * warmth], np.float32)
    panels = [_panel(rng, towards, rng.uniform(2.2, 5.0))]
    for _ in range(rng.randint(1, 3)):
        direction = _direction(rng.uniform(math.pi, 2 * math.pi), math.radians(rng.uniform(12, 65)))
        panels.append(_panel(rng, direction, rng.uniform(0.8, 2.4)))
    return Lighting(
        position=(towards * distance).astype(np.float32),
        lamp_size=distance * rng.uniform(0.04, 0.22),
        colour=colour,
        brightness=rng.uniform(0.7, 1.25),
        sky=sky,
        ground=sky * rng.uniform(0.3, 0.6),
        panels=tuple(panels),
    )


def _panel(rng: random.Random, direction: FloatArray, brightness: float) -> Panel:
    right = unit(np.cross(direction, np.array([0.0, 0, 1])))
    up = np.cross(right, direction)
    return Panel(direction, right, up, rng.uniform(0.12, 0.4), rng.uniform(0.2, 0.7), brightness)


def _direction(azimuth: float, elevation: float) -> FloatArray:
    across = math.cos(elevation)
    return np.array([across * math.cos(azimuth), across * math.sin(azimuth), math.sin(elevation)], np.float32)


def _edge(distance: FloatArray) -> FloatArray:
    """0 below -1/2, 1 above 1/2, smooth between."""
    t = np.clip(distance + 0.5, 0, 1)
    smooth: FloatArray = t * t * (3 - 2 * t)
    return smooth
