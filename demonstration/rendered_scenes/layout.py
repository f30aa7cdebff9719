"""Which things lie where, and where the camera stands."""

from __future__ import annotations

import math
import random

import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray
from demonstration.rendered_scenes.backgrounds import Background
from demonstration.rendered_scenes.camera import Camera
from demonstration.rendered_scenes.objects import CLASSES, OTHER_THINGS, Thing, make_thing
from demonstration.rendered_scenes.parts import Pose, rotation
from demonstration.rendered_scenes.rendering import PlacedThing

_ATTEMPTS = 60
_MARGIN = 0.02  # of the image that a thing may stick out


def place_camera(rng: random.Random, background: Background, size: tuple[int, int]) -> Camera:
    """Held in a hand before the table, sometimes high above it; the image is `size` (width, height)."""
    slope = math.radians(rng.uniform(45, 78) if rng.random() < 0.15 else rng.uniform(8, 42))
    distance = rng.uniform(44, 72)
    if background.inside_fridge:
        slope, distance = math.radians(rng.uniform(6, 24)), rng.uniform(42, 60)
    turn = rng.gauss(0, 0.1)
    across = distance * math.cos(slope)
    target = np.array([rng.gauss(0, 1.5), rng.uniform(-2, 3), rng.uniform(4, 10) * math.cos(slope)])
    position = target + np.array([across * math.sin(turn), -across * math.cos(turn), distance * math.sin(slope)])
    field = math.radians(rng.uniform(44, 60))
    return Camera.looking(position, target, rng.gauss(0, 0.025), field, size)


def place_things(rng: random.Random, background: Background, camera: Camera) -> list[PlacedThing]:
    """Up to six detections, none inside another, all in the picture but for a hair; and now and then other things."""
    wanted = [rng.choice(CLASSES) for _ in range(_count(rng, camera))]
    if len(wanted) <= len(CLASSES) and rng.random() < 0.7:
        wanted = rng.sample(CLASSES, len(wanted))
    wanted += [rng.choice(OTHER_THINGS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    placed: list[PlacedThing] = []
    footprints: list[FloatArray] = []
    for name in wanted:
        thing = make_thing(name, rng)
        for _ in range(_ATTEMPTS):
            pose, footprint = _pose(thing, rng, _spot(rng, background, camera))
            candidate = PlacedThing(name, tuple(part.moved(pose) for part in thing.parts))
            if _fits(candidate, footprint, footprints, background, camera):
                placed.append(candidate)
                footprints.append(footprint)
                break
    return placed


def _count(rng: random.Random, camera: Camera) -> int:
    wide = camera.width > camera.height
    return rng.choice((2, 3, 4, 5, 6) if wide else (1, 2, 2, 3, 3, 4, 4, 5))


def _spot(rng: random.Random, background: Background, camera: Camera) -> FloatArray:
    """[3] on the floor, anywhere in the picture where a floor can be."""
    for _ in range(_ATTEMPTS):
        column, row = rng.uniform(0.08, 0.92) * camera.width, rng.uniform(0.3, 0.97) * camera.height
        local = np.array([column - camera.width / 2, row - camera.height / 2, camera.focal_length])
        ray = local @ camera.axes
        if ray[2] < -1e-3:
            spot: FloatArray = camera.position - ray * (camera.position[2] / ray[2])
            if spot[1] < min(background.back, 30) and abs(spot[0]) < background.sides:
                return spot
    return np.zeros(3)


def _pose(thing: Thing, rng: random.Random, spot: FloatArray) -> tuple[Pose, FloatArray]:
    """Upright or, at times, on its side; with it discs [k, 3] (x, y, radius) that cover what it stands on."""
    heading = rng.uniform(0, 2 * math.pi)
    if thing.name == "carton" and rng.random() < 0.75:
        heading = rng.uniform(-0.9, 0.9)  # its front towards the camera
    lies = thing.name in CLASSES and rng.random() < 0.28
    if not lies:
        radius = thing.radius * (1.35 if thing.name == "carton" else 1.05)
        upright = Pose(rotation("z", heading), spot.astype(np.float32))
        return upright, np.array([[spot[0], spot[1], radius]])
    heading = rng.uniform(0, 2 * math.pi)
    roll = rng.choice((0, 1, 2, 3)) * math.pi / 2 if thing.name == "carton" else rng.uniform(0, 2 * math.pi)
    turned = rotation("z", heading) @ rotation("x", math.pi / 2) @ rotation("z", roll)
    axis = rotation("z", heading) @ np.array([0, -1, 0])
    start = np.array([spot[0], spot[1], thing.radius]) - axis * thing.height / 2
    steps = np.linspace(thing.radius * 0.8, thing.height - thing.radius * 0.8, 5)
    discs = np.array([[*(start + axis * step)[:2], thing.radius * 1.1] for step in steps])
    return Pose(turned.astype(np.float32), start.astype(np.float32)), discs


def _fits(
    candidate: PlacedThing, footprint: FloatArray, others: list[FloatArray], background: Background, camera: Camera
) -> bool:
    if (footprint[:, 1] + footprint[:, 2] > background.back - 0.5).any():
        return False
    if (np.abs(footprint[:, 0]) + footprint[:, 2] > background.sides - 0.5).any():
        return False
    for other in others:
        apart = np.linalg.norm(footprint[:, None, :2] - other[None, :, :2], axis=2)
        if (apart < footprint[:, None, 2] + other[None, :, 2]).any():
            return False
    return _inside(candidate.corners(), camera)


def _inside(corners: FloatArray, camera: Camera) -> bool:
    """Whether the camera sees all of it, but for a hair, and not from too near."""
    if ((corners - camera.position) @ camera.axes[2]).min() < 12:
        return False
    image = camera.project(corners) / (camera.width, camera.height)
    return bool(image.min() > -_MARGIN and image.max() < 1 + _MARGIN)
