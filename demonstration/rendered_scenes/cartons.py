"""A gable-top carton: a box with a roof, the crest on it, and a screw cap on one slope."""

from __future__ import annotations

import math
import random

import numpy as np

from demonstration.rendered_scenes.arrays import Colour, FloatArray, unit
from demonstration.rendered_scenes.labels import CREAM, WHITE, carton_front, carton_roof, carton_side
from demonstration.rendered_scenes.materials import plain, printed
from demonstration.rendered_scenes.parts import Part, Pose, rotation
from demonstration.rendered_scenes.shapes import ConvexSolid, Face, Lathe

_FRONT, _SIDE, _PAPER, _ROOF = range(4)
_TUCK = 0.35  # how far the folded ends lean in, of half the width


def carton_parts(rng: random.Random, colour: Colour) -> tuple[tuple[Part, ...], float, float]:
    """A specimen's parts, its height and its width in centimetres."""
    width = rng.uniform(6.8, 7.6) if rng.random() < 0.75 else rng.uniform(8.6, 9.4)
    shoulder = width * rng.uniform(2.15, 2.7)
    roof = width * rng.uniform(0.38, 0.48)
    paper = rng.choice([WHITE, CREAM, CREAM])
    materials = (
        printed(carton_front(rng, colour, paper), roughness=0.45),
        printed(carton_side(rng, colour, paper), roughness=0.45),
        plain(paper, roughness=0.6),
        printed(carton_roof(rng, colour, paper), roughness=0.45),
    )
    body = Part(_body(width, shoulder, roof), materials)
    crest_low, crest_high = shoulder + roof * 0.93, shoulder + roof + width * 0.22
    crest = Part(_box(np.array([width, 0.34, crest_high - crest_low])), (plain(WHITE, roughness=0.6),))
    crest = crest.moved(Pose(translation=np.array([0, 0, crest_low], np.float32)))
    parts = [body, crest]
    if rng.random() < 0.8:
        parts.append(_cap(rng, width, shoulder, roof))
    return tuple(parts), crest_high, width


def _body(width: float, shoulder: float, roof: float) -> ConvexSolid:
    half, ridge = width / 2, shoulder + roof
    faces = []
    for x, y, slot in ((0, -1, _FRONT), (1, 0, _SIDE), (0, 1, _FRONT), (-1, 0, _SIDE)):
        normal, right = np.array([x, y, 0.0]), np.array([-y, x, 0.0])
        faces.append(_face(normal, right, normal * half - right * half, (width, shoulder), slot))
    for y in (-1, 1):
        normal = np.array([0, y * roof, half])
        origin = np.array([y * half, y * half, shoulder])
        faces.append(_face(normal, np.array([-y, 0.0, 0.0]), origin, (width, math.hypot(half, roof)), _ROOF))
    for x in (-1, 1):
        normal, right = np.array([x * roof, 0, half * _TUCK]), np.array([0.0, x, 0.0])
        faces.append(_face(normal, right, np.array([x * half, -x * half, shoulder]), (width, roof), _PAPER))
    faces.append(_face(np.array([0, 0, -1.0]), np.array([1.0, 0, 0]), np.zeros(3), (width, width), _PAPER))
    square = np.array([[x, y] for x in (-half, half) for y in (-half, half)])
    top = [[x * half * (1 - _TUCK), 0, ridge] for x in (-1, 1)]
    corners = [*np.column_stack([square, np.zeros(4)]), *np.column_stack([square, np.full(4, shoulder)]), *top]
    return ConvexSolid(faces, np.array(corners))


def _box(size: FloatArray) -> ConvexSolid:
    """Centred on the z axis, standing on z = 0."""
    faces = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            right = np.roll(normal, 1)
            origin = normal * (size[axis] / 2 if axis < 2 else max(sign, 0) * size[2])
            faces.append(_face(normal, right, origin, (1.0, 1.0), 0))
    corners = [[x * size[0] / 2, y * size[1] / 2, z * size[2]] for x in (-1, 1) for y in (-1, 1) for z in (0, 1)]
    return ConvexSolid(faces, np.array(corners))


def _face(normal: FloatArray, right: FloatArray, origin: FloatArray, size: tuple[float, float], slot: int) -> Face:
    normal = unit(normal).astype(np.float32)
    up = np.cross(normal, right)
    return Face(normal, float(normal @ origin), right.astype(np.float32), up, origin.astype(np.float32), size, slot)


def _cap(rng: random.Random, width: float, shoulder: float, roof: float) -> Part:
    radius, height = width * 0.2, rng.uniform(0.9, 1.4)
    profile = np.array([(0, -0.2), (radius, -0.2), (radius, height - 0.15), (radius - 0.15, height), (0, height)])
    colour = rng.choice([WHITE, WHITE, (200, 40, 44), (40, 110, 190)])
    part = Part(Lathe(profile, [0] * 4), (plain(colour, roughness=0.4),))
    slope = math.atan2(roof, width / 2)
    middle = np.array([0, -width / 4, shoulder + roof / 2], np.float32)
    return part.moved(Pose(rotation("x", slope), middle))
