"""A picture to detect in that needs no download: a refrigerator's shelves, drawn by this code.

The things in it are the demonstration classes: can, carton, milk_bottle, water_bottle.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from vfnet_client.writing import write_whole

Colour = tuple[int, int, int]
WIDTH, HEIGHT = 960, 640
_SCALE = 3  # drawn larger, then reduced: smooth edges
_SHELVES = (0.34, 0.66, 0.96)  # of the height
_SEED = 11


def write_sample_scene(path: Path) -> Path:
    """Write the picture as PNG, the same every time; `path` again."""
    buffer = io.BytesIO()
    render_scene().save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())
    return path


def render_scene(seed: int = _SEED) -> Image.Image:
    """RGB, 960 x 640: three shelves with things side by side."""
    rng = random.Random(seed)
    scene = _vertical_gradient((WIDTH * _SCALE, HEIGHT * _SCALE), (232, 240, 244), (196, 208, 214))
    for shelf in _SHELVES:
        floor = int(shelf * HEIGHT * _SCALE)
        x = 30 * _SCALE
        while x < (WIDTH - 110) * _SCALE:
            thing = rng.choice(_THINGS)(rng)
            depth = rng.randint(0, 6 * _SCALE)
            _place(scene, thing, x, floor - depth)
            x += thing.width + rng.randint(10, 46) * _SCALE
        _draw_shelf(scene, floor)
    scene = scene.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return _with_grain(scene, rng)


def _place(scene: Image.Image, thing: Image.Image, x: int, floor: int) -> None:
    """Paste RGBA `thing` with its lower edge at `floor` and a soft shadow under it."""
    shadow = Image.new("RGBA", (thing.width + 40 * _SCALE, 24 * _SCALE), (0, 0, 0, 0))
    ImageDraw.Draw(shadow).ellipse(
        (20 * _SCALE, 6 * _SCALE, shadow.width - 20 * _SCALE, 18 * _SCALE), fill=(20, 24, 30, 130)
    )
    shadow = shadow.filter(ImageFilter.GaussianBlur(4 * _SCALE))
    scene.paste(shadow, (x - 20 * _SCALE, floor - 13 * _SCALE), shadow)
    scene.paste(thing, (x, floor - thing.height), thing)


def _draw_shelf(scene: Image.Image, floor: int) -> None:
    edge = _vertical_gradient((scene.width, 9 * _SCALE), (250, 252, 253), (150, 164, 172))
    scene.paste(edge, (0, floor))


def _can(rng: random.Random) -> Image.Image:
    width, height = rng.randint(60, 70) * _SCALE, rng.randint(108, 124) * _SCALE
    colour = rng.choice([(196, 30, 42), (28, 92, 168), (240, 150, 30), (40, 130, 70)])
    body = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(body)
    draw.rounded_rectangle((0, 4 * _SCALE, width - 1, height - 1), 9 * _SCALE, fill=(*colour, 255))
    draw.ellipse((3 * _SCALE, 0, width - 3 * _SCALE, 14 * _SCALE), fill=(206, 210, 214, 255))
    draw.ellipse((9 * _SCALE, 3 * _SCALE, width - 9 * _SCALE, 11 * _SCALE), fill=(168, 174, 180, 255))
    draw.rectangle((0, int(height * 0.42), width, int(height * 0.62)), fill=(245, 245, 240, 255))
    draw.rectangle((0, height - 9 * _SCALE, width, height - 6 * _SCALE), fill=(206, 210, 214, 255))
    return _rounded(body)


def _carton(rng: random.Random) -> Image.Image:
    width, height = rng.randint(70, 84) * _SCALE, rng.randint(146, 168) * _SCALE
    colour = rng.choice([(244, 166, 42), (90, 160, 210), (130, 176, 84), (222, 84, 96)])
    body = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(body)
    roof, crest = int(height * 0.2), int(height * 0.06)
    draw.polygon([(0, roof), (width * 0.2, crest), (width * 0.8, crest), (width - 1, roof)], fill=_darker(colour, 0.85))
    draw.rectangle((width * 0.2, 0, width * 0.8, crest), fill=(236, 236, 232, 255))
    draw.rectangle((0, roof, width - 1, height - 1), fill=(*colour, 255))
    draw.rectangle((int(width * 0.7), roof, width - 1, height - 1), fill=_darker(colour, 0.8))
    draw.ellipse((width * 0.12, height * 0.42, width * 0.6, height * 0.68), fill=(252, 250, 244, 255))
    return body


def _milk_bottle(rng: random.Random) -> Image.Image:
    cap = rng.choice([(36, 90, 190), (206, 40, 48), (30, 140, 80)])
    return _bottle((rng.randint(68, 78), rng.randint(150, 172)), (248, 248, 242), 255, cap, label=cap)


def _water_bottle(rng: random.Random) -> Image.Image:
    label = rng.choice([(44, 120, 200), (80, 176, 208), (30, 150, 130)])
    return _bottle((rng.randint(50, 58), rng.randint(156, 180)), (186, 218, 234), 205, (240, 244, 248), label=label)


def _bottle(size: tuple[int, int], colour: Colour, alpha: int, cap: Colour, label: Colour) -> Image.Image:
    width, height = size[0] * _SCALE, size[1] * _SCALE
    body = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(body)
    neck, shoulder = width * 0.3, height * 0.34
    outline = [(neck, height * 0.08), (width - neck, height * 0.08), (width - 1, shoulder), (width - 1, height * 0.9)]
    mirrored = [(width - x, y) for x, y in reversed(outline)]
    draw.polygon(outline + mirrored, fill=(*colour, alpha))
    draw.rounded_rectangle((0, height * 0.6, width - 1, height - 1), 12 * _SCALE, fill=(*colour, alpha))
    draw.rounded_rectangle((neck * 0.85, 0, width - neck * 0.85, height * 0.1), 4 * _SCALE, fill=(*cap, 255))
    draw.rectangle((0, height * 0.48, width, height * 0.72), fill=(*label, 255))
    draw.rectangle((width * 0.15, height * 0.56, width * 0.85, height * 0.6), fill=(250, 250, 250, 255))
    return _rounded(body)


_THINGS: tuple[Callable[[random.Random], Image.Image], ...] = (_can, _carton, _milk_bottle, _water_bottle)


def _rounded(body: Image.Image) -> Image.Image:
    """Light from the upper left on a cylinder: darker to both sides, a bright line left of the middle."""
    light = Image.new("L", (256, 1))
    light.putdata([int(255 * (0.55 + 0.45 * (1 - abs(x / 255 * 2 - 0.8) ** 2.2))) for x in range(256)])
    shade = light.resize(body.size)
    rgb = ImageChops.multiply(body.convert("RGB"), Image.merge("RGB", (shade, shade, shade)))
    rgb.putalpha(body.getchannel("A"))
    return rgb


def _vertical_gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)


def _darker(colour: Colour, factor: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(channel * factor) for channel in colour)
    return red, green, blue, 255


def _with_grain(scene: Image.Image, rng: random.Random) -> Image.Image:
    """A little of a sensor's noise: flat areas look painted otherwise."""
    noise = Image.frombytes("L", scene.size, rng.randbytes(scene.width * scene.height))
    noise = noise.filter(ImageFilter.GaussianBlur(0.7)).point([118 + value // 13 for value in range(256)])
    return ImageChops.add(scene, Image.merge("RGB", (noise, noise, noise)), offset=-128)
