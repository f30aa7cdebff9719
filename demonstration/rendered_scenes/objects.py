"""The things in a scene: the four demonstration classes, and others that are none of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demonstration.rendered_scenes.arrays import Colour
from demonstration.rendered_scenes.cartons import carton_parts
from demonstration.rendered_scenes.labels import Pixels, can_label, milk_label, water_label
from demonstration.rendered_scenes.materials import plain, printed
from demonstration.rendered_scenes.parts import Part
from demonstration.rendered_scenes.shapes import Lathe

CLASSES = ("can", "carton", "milk_bottle", "water_bottle")

_SILVER = plain((206, 208, 212), roughness=0.22, reflectance=0.8, metal=True)


@dataclass(frozen=True)
class Thing:
    """Something that stands on z = 0 around the z axis, in centimetres."""

    name: str
    """One of `CLASSES`, or another word for what is no detection."""
    parts: tuple[Part, ...]
    height: float
    radius: float
    """Half its width: how high its axis is when it lies."""


def make_thing(name: str, rng: random.Random) -> Thing:
    """A new specimen: its colours, print and proportions are `rng`'s choice.

    Raises:
        KeyError: for a name that is in neither `CLASSES` nor `OTHER_THINGS`.
    """
    return _MAKERS[name](rng)


def _can(rng: random.Random) -> Thing:
    height, radius = (rng.uniform(11.8, 12.6), 3.3) if rng.random() < 0.85 else (rng.uniform(13.2, 14.5), 2.9)
    colour = _colour(rng, (190, 14, 24), 0.5)
    neck = radius * 0.84
    profile = [
        *((0, 0.5), (neck * 0.9, 0.25), (neck, 0.0), (neck + 0.15, 0.1), (radius - 0.1, 0.75)),
        *((radius, 1.15), (radius, height - 1.5), (radius - 0.12, height - 1.15)),
        *((neck + 0.1, height - 0.25), (neck + 0.12, height), (neck - 0.12, height), (neck - 0.25, height - 0.5)),
        (0, height - 0.45),
    ]
    slots = [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2]
    lid = printed(_lid(), roughness=0.25, reflectance=0.7)
    materials = (_SILVER, printed(can_label(rng, colour), roughness=0.18, reflectance=0.06), lid)
    return Thing("can", (Part(_lathe(profile, slots), materials),), height, radius)


def _carton(rng: random.Random) -> Thing:
    parts, height, width = carton_parts(rng, _colour(rng, (92, 26, 112), 0.4))
    return Thing("carton", parts, height, width / 2)


def _milk_bottle(rng: random.Random) -> Thing:
    height, radius = rng.uniform(16.0, 18.0), rng.uniform(3.0, 3.3)
    colour = _colour(rng, (22, 100, 178), 0.6)
    waist = radius * rng.uniform(0.82, 0.95)
    knots = [
        *((0, 0.3), (0.14, 0.86), (0.22, 1.0), (0.34, 0.98), (0.44, waist / radius), (0.54, 0.97), (0.64, 1.0)),
        *((0.72, 0.93), (0.78, 0.74), (0.84, 0.62), (0.87, 0.62)),
    ]
    body = _smooth([(radius * width, height * at) for at, width in knots[2:]], 16)
    foot = [(0, 0.0), (radius * 0.84, 0.0), (radius * 0.97, 0.5), (radius, height * 0.1)]
    cap_radius, cap_low = radius * 0.66, height * 0.875
    cap = [(cap_radius, cap_low), (cap_radius, height - 0.25), (cap_radius - 0.25, height), (0, height)]
    profile = [*foot, *body, *cap]
    slots = [0, 1, 1, *[1] * len(body), *[2] * len(cap)]
    cap_colour = colour if rng.random() < 0.75 else _colour(rng, (200, 30, 40), 0.3)
    materials = (
        plain((236, 232, 220)),
        printed(milk_label(rng, colour), roughness=0.22, reflectance=0.05),
        plain(cap_colour, roughness=0.35),
    )
    return Thing("milk_bottle", (Part(_lathe(profile, slots[: len(profile) - 1]), materials),), height, radius)


def _water_bottle(rng: random.Random) -> Thing:
    height, radius = rng.uniform(19.0, 22.0), rng.uniform(3.1, 3.4)
    colour = _colour(rng, (168, 28, 92), 0.4)
    low, high = 0.13 * height, rng.uniform(0.5, 0.58) * height
    foot = [(0, 0.35), (radius * 0.55, 0.0), (radius * 0.86, 0.5), (radius * 0.98, 1.6), (radius * 0.985, low)]
    shoulder = [(radius, high + 0.05), (radius, 0.64), (0.93, 0.70), (0.74, 0.77), (0.54, 0.84), (0.46, 0.9)]
    curve = _smooth([(radius, high + 0.05), *((radius * width, height * at) for width, at in shoulder[2:])], 12)
    ring = [(radius * 0.52, height * 0.902), (radius * 0.52, height * 0.915), (radius * 0.47, height * 0.92)]
    cap_radius = radius * 0.5
    cap = [(cap_radius, height * 0.925), (cap_radius, height - 0.2), (cap_radius - 0.2, height), (0, height)]
    profile = [*foot, (radius, low + 0.05), (radius, high), *curve, *ring, *cap]
    slots = [*[0] * len(foot), 1, *[2] * (len(curve) + len(ring)), *[3] * len(cap)]
    clear = plain((222, 236, 240), roughness=0.1, reflectance=0.06, clear=True)
    cap_colour = rng.choice([(226, 228, 228), (226, 228, 228), (226, 228, 228), colour, (60, 130, 200)])
    label = printed(water_label(rng, colour), roughness=0.3)
    materials = (clear, label, clear, plain(cap_colour, roughness=0.4))
    return Thing("water_bottle", (Part(_lathe(profile, slots[: len(profile) - 1]), materials),), height, radius)


def _round_fruit(rng: random.Random) -> Thing:
    radius, squash = rng.uniform(2.6, 4.0), rng.uniform(0.86, 1.0)
    angles = np.linspace(-math.pi / 2, math.pi / 2, 17)
    profile = [(radius * math.cos(a), radius * squash * (1 + math.sin(a))) for a in angles]
    colour = rng.choice([(236, 140, 30), (190, 32, 30), (130, 170, 50), (240, 206, 70), (120, 30, 60)])
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 9, (48, 96, 3))
    skin = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    part = Part(_lathe(profile, [0] * (len(profile) - 1)), (printed(skin, roughness=0.4),))
    return Thing("fruit", (part,), 2 * radius * squash, radius)


def _bowl(rng: random.Random) -> Thing:
    radius, height = rng.uniform(4.5, 6.5), rng.uniform(3.5, 5.0)
    outside = [(radius * (0.45 + 0.55 * math.sin(t * math.pi / 2)), height * t) for t in np.linspace(0, 1, 8)]
    inside = [(width - 0.35, max(at, 0.35)) for width, at in reversed(outside)]
    profile = [(0, 0.01), *outside, *inside, (0, 0.35)]
    glaze = plain(_colour(rng, (236, 234, 228), 0.4), roughness=0.2, reflectance=0.05)
    return Thing("bowl", (Part(_lathe(profile, [0] * (len(profile) - 1)), (glaze,)),), height, radius)


def _jar(rng: random.Random) -> Thing:
    height, radius = rng.uniform(7.5, 10.5), rng.uniform(3.4, 4.2)
    lid = height * 0.8
    profile = [
        *((0, 0.0), (radius * 0.9, 0.0), (radius, 0.6), (radius, lid - 1.2), (radius * 0.9, lid - 0.3)),
        *((radius * 0.9, lid), (radius * 0.97, lid + 0.05), (radius * 0.97, height - 0.15), (radius * 0.9, height)),
        (0, height),
    ]
    filling = plain(_colour(rng, (110, 20, 24), 0.3), roughness=0.08, reflectance=0.08)
    top = plain(_colour(rng, (210, 170, 60), 0.4), roughness=0.3, reflectance=0.5, metal=True)
    return Thing("jar", (Part(_lathe(profile, [0] * 5 + [1] * 4), (filling, top)),), height, radius)


_MAKERS: dict[str, Callable[[random.Random], Thing]] = {
    "can": _can,
    "carton": _carton,
    "milk_bottle": _milk_bottle,
    "water_bottle": _water_bottle,
    "fruit": _round_fruit,
    "bowl": _bowl,
    "jar": _jar,
}
OTHER_THINGS = tuple(name for name in _MAKERS if name not in CLASSES)
"""What lies about without being a detection."""

_PALETTE: tuple[Colour, ...] = (
    *((190, 14, 24), (22, 100, 178), (30, 128, 70), (230, 150, 24), (92, 26, 112), (226, 90, 130)),
    *((28, 34, 44), (20, 140, 150), (120, 70, 40), (235, 232, 224), (120, 180, 60), (226, 196, 40)),
)


def _colour(rng: random.Random, usual: Colour, share: float) -> Colour:
    """The usual colour in a `share` of all draws, else any; never twice quite the same."""
    base = usual if rng.random() < share else rng.choice(_PALETTE)
    red, green, blue = (min(255, max(0, channel + rng.randint(-10, 10))) for channel in base)
    return red, green, blue


def _lathe(profile: list[tuple[float, float]], slots: list[int]) -> Lathe:
    return Lathe(np.array(profile, np.float32), slots)


def _smooth(knots: list[tuple[float, float]], points: int) -> list[tuple[float, float]]:
    """A curve through `knots` (radius, height), by Catmull and Rom's spline."""
    padded = np.array([knots[0], *knots, knots[-1]])
    curve: list[tuple[float, float]] = []
    for place in np.linspace(0, len(knots) - 1, points):
        span = min(int(place), len(knots) - 2)
        t = place - span
        p0, p1, p2, p3 = padded[span : span + 4]
        point = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
        curve.append((float(point[0]), float(point[1])))
    return curve


def _lid() -> Pixels:
    """Aluminium with a faint ring: rows run from the rim to the centre."""
    rows = np.full((32, 64, 3), 196, np.uint8)
    rows[4:7] = 150
    rows[18:22, 10:30] = 140
    return rows
