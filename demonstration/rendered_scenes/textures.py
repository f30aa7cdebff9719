"""Procedural surfaces, 1024 x 1024, repeating: stone, wood, cloth, tiles, plaster."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Callable

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import Colour, FloatArray, to_linear
from demonstration.rendered_scenes.labels import Pixels

SIZE = 1024
Painter = Callable[[random.Random], Pixels]


def table_texture(rng: random.Random) -> FloatArray:
    """[1024, 1024, 3] linear light, of something that things stand on."""
    return to_linear(rng.choice((_dark, _dark, _wood, _wood, _marble, _tiles, _cloth, _terrazzo, _plain))(rng))


def wall_texture(rng: random.Random) -> FloatArray:
    """[1024, 1024, 3] linear light, of something behind things."""
    return to_linear(rng.choice((_stripes, _stripes, _stripes, _tiles, _plaster, _boards, _cloth, _plain))(rng))


def plastic_texture(rng: random.Random) -> FloatArray:
    """[1024, 1024, 3] linear light: a fridge's lining."""
    return to_linear(_noisy(rng, (226, 231, 234), 0.012, 0.01))


def _noise(rng: random.Random, cells_x: int, cells_y: int, octaves: int = 4) -> FloatArray:
    """[1024, 1024] about -1 to 1, repeating; the coarsest octave has so many cells."""
    generator = np.random.default_rng(rng.randrange(2**32))
    total = np.zeros((SIZE, SIZE), np.float32)
    for octave in range(octaves):
        shape = (min(SIZE, cells_y << octave), min(SIZE, cells_x << octave))
        cells = generator.uniform(-1, 1, shape).astype(np.float32)
        # A border that repeats, cut off again, so that opposite edges meet.
        cells = np.pad(cells, 2, mode="wrap")
        scale_x, scale_y = SIZE / shape[1], SIZE / shape[0]
        size = (round(cells.shape[1] * scale_x), round(cells.shape[0] * scale_y))
        large = cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC)
        top, left = round(2 * scale_y), round(2 * scale_x)
        total += large[top : top + SIZE, left : left + SIZE] / 2**octave
    return total / 1.6


def _tinted(colour: Colour, factor: FloatArray) -> Pixels:
    """`colour` times [H, W] -> uint8 [H, W, 3]."""
    tinted: Pixels = np.clip(np.array(colour, np.float32) * factor[..., None], 0, 255).astype(np.uint8)
    return tinted


def _mixed(first: Colour, second: Colour, share: FloatArray) -> Pixels:
    share = np.clip(share, 0, 1)[..., None]
    mixed: Pixels = (np.array(first, np.float32) * (1 - share) + np.array(second, np.float32) * share).astype(np.uint8)
    return mixed


def _noisy(rng: random.Random, colour: Colour, coarse: float, fine: float) -> Pixels:
    grain = np.random.default_rng(rng.randrange(2**32)).normal(0, fine, (SIZE, SIZE)).astype(np.float32)
    return _tinted(colour, 1 + coarse * _noise(rng, 4, 4) + grain)


def _any_colour(rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def _dark(rng: random.Random) -> Pixels:
    level = rng.randint(16, 52)
    return _noisy(rng, (level, level, level + rng.randint(0, 8)), 0.08, 0.04)


def _plain(rng: random.Random) -> Pixels:
    return _noisy(rng, _any_colour(rng, (0.0, 0.5), (0.35, 0.95)), 0.05, 0.015)


def _plaster(rng: random.Random) -> Pixels:
    return _noisy(rng, _any_colour(rng, (0.0, 0.25), (0.6, 0.95)), 0.1, 0.03)


def _wood(rng: random.Random) -> Pixels:
    light, dark = rng.choice(
        [((206, 164, 112), (160, 112, 66)), ((132, 86, 52), (84, 50, 30)), ((226, 200, 160), (196, 160, 116))]
    )
    y = np.arange(SIZE, dtype=np.float32)[:, None]
    planks = rng.choice([4, 6, 8])
    plank = (y * planks / SIZE).astype(int)
    shift = np.array([rng.uniform(-0.35, 0.35) for _ in range(planks)], np.float32)[plank]
    bands = np.sin(2 * np.pi * (rng.randint(10, 22) * y / SIZE + 1.3 * _noise(rng, 2, 8, 2)))
    image = _mixed(light, dark, 0.45 + 0.22 * bands + 0.25 * _noise(rng, 4, 128, 3) + 0.6 * shift)
    joint = (y * planks / SIZE) % 1 < 0.02
    return np.where(joint[..., None], image * 0.45, image).astype(np.uint8)


def _boards(rng: random.Random) -> Pixels:
    return np.ascontiguousarray(_wood(rng).swapaxes(0, 1))


def _marble(rng: random.Random) -> Pixels:
    light, dark = ((238, 236, 232), (150, 150, 156)) if rng.random() < 0.7 else ((40, 42, 44), (150, 150, 150))
    vein = 1 - np.abs(_noise(rng, 4, 4, 6)) * 6
    return _mixed(light, dark, 0.7 * np.clip(vein, 0, 1) ** 2 + 0.12 * (_noise(rng, 3, 3) + 1))


def _terrazzo(rng: random.Random) -> Pixels:
    base = _any_colour(rng, (0.0, 0.15), (0.55, 0.92))
    image = _noisy(rng, base, 0.03, 0.02)
    for shade in (0.55, 0.8, 1.2):
        chips = _noise(rng, 48, 48, 2) > 0.62
        image[chips] = np.clip(np.array(base) * shade, 0, 255).astype(np.uint8)
    return image


def _tiles(rng: random.Random) -> Pixels:
    columns = rng.choice([4, 8, 8])
    rows = columns * rng.choice([1, 1, 2])
    glaze, joint = _any_colour(rng, (0.0, 0.4), (0.5, 0.97)), _any_colour(rng, (0.0, 0.1), (0.4, 0.9))
    y, x = (np.arange(SIZE, dtype=np.float32) * count / SIZE for count in (rows, columns))
    offset = 0.5 * (y.astype(int) % 2) if rows != columns else np.zeros(SIZE)
    across = (x[None] + offset[:, None]) % columns
    shades = np.array([rng.uniform(0.88, 1.08) for _ in range(rows * columns)], np.float32)
    index = y.astype(int)[:, None] * columns + across.astype(int)
    image = _tinted(glaze, shades[index] + 0.03 * _noise(rng, 16, 16))
    edge = np.minimum(np.minimum(across % 1, 1 - across % 1) / columns, (np.minimum(y % 1, 1 - y % 1) / rows)[:, None])
    return np.where((edge < 0.0035)[..., None], np.array(joint, np.uint8), image).astype(np.uint8)


def _cloth(rng: random.Random) -> Pixels:
    """Woven, plain or checked."""
    first, second = _any_colour(rng, (0.1, 0.7), (0.35, 0.95)), _any_colour(rng, (0.0, 0.2), (0.7, 0.95))
    ramp = np.arange(SIZE)
    checks = rng.choice([0, 8, 16])
    share = np.zeros((SIZE, SIZE), np.float32)
    if checks:
        on = (ramp * checks // SIZE) % 2
        share = 0.5 * (on[None] + on[:, None]).astype(np.float32)
    weave = 0.06 * (((ramp[None] // 3 + ramp[:, None] // 3) % 2) - 0.5)
    image = _mixed(first, second, share)
    woven: Pixels = np.clip(image * (1 + weave + 0.06 * _noise(rng, 8, 8, 6))[..., None], 0, 255).astype(np.uint8)
    return woven


def _stripes(rng: random.Random) -> Pixels:
    """Striped fabric; the stripes lie flat more often than not."""
    colours = [_any_colour(rng, (0.05, 0.75), (0.4, 0.95)) for _ in range(rng.randint(2, 4))]
    rows = np.zeros((SIZE, 3), np.uint8)
    y, index = 0, 0
    while y < SIZE:
        height = rng.randint(10, 60)
        rows[y : y + height] = colours[index % len(colours)]
        y, index = y + height, index + rng.randint(1, len(colours))
    image = np.broadcast_to(rows[:, None], (SIZE, SIZE, 3))
    if rng.random() < 0.25:
        image = image.swapaxes(0, 1)
    woven: Pixels = np.clip(image * (1 + 0.1 * _noise(rng, 96, 256, 2))[..., None], 0, 255).astype(np.uint8)
    return woven
