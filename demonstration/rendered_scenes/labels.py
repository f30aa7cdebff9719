"""Printed labels of invented brands, drawn with Pillow: what wraps around cans, bottles and cartons."""

from __future__ import annotations

import math
import random
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from demonstration.rendered_scenes.arrays import Colour

Pixels = npt.NDArray[np.uint8]
WHITE, CREAM, INK = (246, 246, 244), (240, 230, 212), (40, 36, 60)
_SODAS = ("Koru", "Zing", "Polka", "Brio", "Fizz", "Rocca", "Solo", "Tonka")
_WATERS = ("drop", "pure", "mist", "rill", "lake", "aqua", "tide")
_DAIRIES = ("Alder", "Moos", "Hillam", "Dell", "Brook", "Clover")
_CREAMS = (("Half", "& Half"), ("Whole", "Milk"), ("Fresh", "Cream"), ("Oat", "Drink"), ("Light", "Milk"))


def can_label(rng: random.Random, colour: Colour) -> Pixels:
    """Wraps once around a can: uint8 [H, W, 3]; the brand in slanted letters twice, small print between."""
    image = Image.new("RGB", (660, 380), colour)
    draw = ImageDraw.Draw(image)
    accent = rng.choice([WHITE, CREAM, (230, 190, 60), (200, 205, 212)])
    if rng.random() < 0.4:
        _wave(draw, (0, 250, 660, 292), accent, rng)
    name = rng.choice(_SODAS)
    for centre in (165, 495):
        slanted = _text(name, 135, accent).transform((320, 150), Image.Transform.AFFINE, (1, 0.25, -20, 0, 1, 0))
        slanted = slanted.rotate(rng.choice([0, 12, 78, 84]), Image.Resampling.BICUBIC, expand=True)
        image.paste(slanted, (centre - slanted.width // 2, 180 - slanted.height // 2), slanted)
        draw.line([(centre - 120, 318), (centre + 120, 308)], accent, 4)
        _write(draw, rng.choice(["ORIGINAL TASTE", "ZERO SUGAR", "SPARKLING", "330 ml"]), (centre, 36), 22, accent)
    _small_print(draw, (300, 60, 362, 200), accent, rng)
    _barcode(draw, (305, 250, 357, 330), rng)
    return np.asarray(image)


def water_label(rng: random.Random, colour: Colour) -> Pixels:
    """Wraps once around a bottle: uint8 [H, W, 3]; a word that runs upwards beside some fruit."""
    image = Image.new("RGB", (660, 300), rng.choice([WHITE, WHITE, CREAM, (226, 238, 246)]))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.35:
        draw.rectangle((0, 0, 660, 40), colour)
        draw.rectangle((0, 264, 660, 300), colour)
    name = rng.choice(_WATERS)
    fruit = rng.choice([(206, 40, 48), (236, 170, 40), (110, 170, 60), (90, 60, 150), colour])
    for left in (30, 360):
        word = _text(name, 120, colour).rotate(90, expand=True)
        image.paste(word, (left, 150 - word.height // 2), word)
        for _ in range(rng.randint(3, 7)):
            x, y, r = left + rng.randint(130, 215), rng.randint(50, 190), rng.randint(10, 20)
            draw.ellipse((x - r, y - r, x + r, y + r), fruit)
            draw.ellipse((x - r // 2, y - r // 2, x, y), tuple(min(255, channel + 50) for channel in fruit))
        _write(draw, "water", (left + 170, 215), 24, INK)
        _small_print(draw, (left + 130, 235, left + 215, 285), colour, rng)
    _small_print(draw, (258, 30, 330, 210), INK, rng)
    _barcode(draw, (262, 222, 326, 282), rng)
    return np.asarray(image)


def milk_label(rng: random.Random, colour: Colour) -> Pixels:
    """Wraps once around a milk bottle, foot to neck: uint8 [H, W, 3]; paint runs down, a splash comes up."""
    image = Image.new("RGB", (660, 480), rng.choice([WHITE, CREAM, CREAM]))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 660, rng.randint(60, 90)), colour)
    for x in range(0, 660, 33):
        length = rng.randint(90, 165)
        draw.rounded_rectangle((x, 0, x + rng.randint(16, 34), length), 12, colour)
    _wave(draw, (0, rng.randint(350, 400), 660, 480), colour, rng)
    badge = rng.choice([(206, 40, 48), (206, 40, 48), (30, 110, 70), (40, 60, 140)])
    for centre in (165, 495):
        draw.ellipse((centre - 62, 165, centre + 62, 235), badge)
        _write(draw, rng.choice(_DAIRIES), (centre, 200), 38, WHITE)
        _write(draw, rng.choice(["lowfat", "whole", "fresh", "skim"]), (centre, 262), 48, colour)
        _write(draw, "milk", (centre, 312), 62, colour)
    _small_print(draw, (290, 170, 370, 340), INK, rng)
    _barcode(draw, (298, 360, 362, 420), rng)
    return np.asarray(image)


def carton_front(rng: random.Random, colour: Colour, paper: Colour) -> Pixels:
    """The front of a gable-top carton, uint8 [H, W, 3]: a badge, two words, a picture."""
    image = Image.new("RGB", (240, 560), paper)
    draw = ImageDraw.Draw(image)
    draw.rectangle((14, 0, 226, rng.randint(480, 545)), colour)
    badge = rng.choice([(206, 40, 48), (206, 40, 48), (240, 180, 50), (40, 110, 70)])
    draw.ellipse((34, 30, 206, 118), WHITE)
    draw.ellipse((40, 35, 200, 113), badge)
    _write(draw, rng.choice(_DAIRIES), (120, 74), 50, WHITE)
    first, second = rng.choice(_CREAMS)
    _write(draw, first, (112, 176), 62, WHITE)
    _write(draw, second, (126, 238), 50, WHITE)
    if rng.random() < 0.6:
        curve = [(120 + 46 * math.sin(step / 9) * (1 - step / 140), 285 + step) for step in range(0, 120, 3)]
        draw.line(curve, WHITE, 6)
        draw.arc((66, 380, 174, 480), 0, 180, WHITE, 7)
        draw.arc((160, 400, 204, 446), 250, 110, WHITE, 6)
        draw.ellipse((56, 462, 184, 484), outline=WHITE, width=5)
    else:
        _wave(draw, (14, 330, 226, 480), WHITE, rng)
    draw.rectangle((14, 500, 226, 530), (222, 176, 70))
    _write(draw, "ULTRA-PASTEURIZED", (120, 515), 18, INK)
    return np.asarray(image)


def carton_side(rng: random.Random, colour: Colour, paper: Colour) -> Pixels:
    """The side of a carton, uint8 [H, W, 3]: small print, a table, a barcode."""
    image = Image.new("RGB", (240, 560), paper)
    draw = ImageDraw.Draw(image)
    _write(draw, rng.choice(_DAIRIES), (120, 40), 40, colour)
    _small_print(draw, (22, 80, 218, 250), colour, rng)
    draw.rectangle((34, 275, 206, 440), outline=INK, width=3)
    _small_print(draw, (44, 285, 196, 430), INK, rng)
    _barcode(draw, (50, 460, 190, 540), rng)
    return np.asarray(image)


def carton_roof(rng: random.Random, colour: Colour, paper: Colour) -> Pixels:
    """A slope of a carton's roof, uint8 [H, W, 3]."""
    image = Image.new("RGB", (240, 140), paper)
    draw = ImageDraw.Draw(image)
    draw.rectangle((14, 88, 226, 140), colour)
    _write(draw, rng.choice(_DAIRIES), (62, 60), 26, colour)
    _small_print(draw, (150, 20, 222, 76), colour, rng)
    return np.asarray(image)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels bring FreeType
    return font


def _text(text: str, size: int, colour: Colour) -> Image.Image:
    """`text` on nothing, RGBA, cropped to its letters; heavier than the font is by itself."""
    font = _font(size)
    stroke = max(1, size // 28)
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    image = Image.new("RGBA", (int(right - left), int(bottom - top)), (*colour, 0))
    ImageDraw.Draw(image).text((-left, -top), text, colour, font, stroke_width=stroke)
    return image


def _write(draw: ImageDraw.ImageDraw, text: str, centre: tuple[int, int], size: int, colour: Colour) -> None:
    draw.text(centre, text, colour, _font(size), anchor="mm", stroke_width=size // 30)


def _small_print(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour, rng: random.Random) -> None:
    """Lines of words too small to read."""
    left, top, right, bottom = box
    for y in range(top, bottom, 11):
        x = left
        while x < right - 6:
            end = min(right, x + rng.randint(6, 26))
            draw.line([(x, y), (end, y)], colour, 4)
            x = end + 5


def _barcode(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], rng: random.Random) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, WHITE)
    x = left + 4
    while x < right - 5:
        width = rng.randint(1, 3)
        draw.rectangle((x, top + 4, x + width - 1, bottom - 8), (20, 20, 20))
        x += width + rng.randint(1, 4)


def _wave(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour, rng: random.Random) -> None:
    """Fills `box` below a wavy upper edge that joins itself where the label's ends meet."""
    left, top, right, bottom = box
    phase, waves = rng.uniform(0, 6.28), rng.randint(2, 5)
    height = (bottom - top) * 0.3
    edge = [
        (x, top + height * (1 + math.sin(phase + waves * 2 * math.pi * (x - left) / (right - left))))
        for x in range(left, right + 1, 4)
    ]
    draw.polygon([*edge, (right, bottom), (left, bottom)], colour)
