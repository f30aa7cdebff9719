"""From linear light to the file that a phone would store: lens, exposure, noise, compression."""

from __future__ import annotations

import random

import cv2
import numpy as np

from demonstration.rendered_scenes.arrays import FloatArray
from demonstration.rendered_scenes.labels import Pixels


def develop(light: FloatArray, size: tuple[int, int], rng: random.Random) -> Pixels:
    """[H, W, 3] linear light, larger than `size` (width, height) -> uint8 RGB of that size."""
    brightest = float(np.percentile(light, 97)) + 1e-3
    exposure = rng.uniform(0.75, 1.05) / max(brightest, 0.35)
    light = _glow(light * exposure)
    light = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    light = _vignette(light, rng.uniform(0, 0.3))
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.1))
    balance = np.array([rng.uniform(0.93, 1.07), 1.0, rng.uniform(0.9, 1.08)], np.float32)
    curve = _tone(light * balance) ** (1 / 2.2)
    curve = curve + _noise(size, rng) * (0.4 + 0.6 * (1 - curve))
    pixels = np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)
    return _sharpened(pixels) if rng.random() < 0.5 else pixels


def compressed(pixels: Pixels, rng: random.Random) -> Pixels:
    """As it comes back from a JPEG file of ordinary quality."""
    ok, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, rng.randint(70, 96)])
    assert ok
    decoded: Pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])


def _tone(light: FloatArray) -> FloatArray:
    """Straight for what is dark, bent below 1 for what is bright, as film and phones do."""
    rolled: FloatArray = np.where(light < 0.6, light, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)))
    return np.clip(rolled, 0, 1)


def _glow(light: FloatArray) -> FloatArray:
    """The lens scatters a little of what is very bright."""
    excess = np.maximum(light - 1, 0)
    spread: FloatArray = light + 0.15 * cv2.GaussianBlur(excess, (0, 0), light.shape[1] / 120)
    return spread


def _vignette(light: FloatArray, strength: float) -> FloatArray:
    height, width = light.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    darkened: FloatArray = light * (1 - strength * (x * x + y * y) / 2)[..., None]
    return darkened


def _noise(size: tuple[int, int], rng: random.Random) -> FloatArray:
    generator = np.random.default_rng(rng.randrange(2**32))
    grain = generator.standard_normal((size[1], size[0], 3), np.float32) * rng.uniform(0.003, 0.02)
    return cv2.GaussianBlur(grain, (0, 0), 0.6) if rng.random() < 0.5 else grain


def _sharpened(pixels: Pixels) -> Pixels:
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    sharp: Pixels = cv2.addWeighted(pixels, 1.4, blurred, -0.4, 0)
    return sharp
