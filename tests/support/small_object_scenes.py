"""Scenes of small objects: annotated photos, shrunk to many sizes and laid beside each other on a plain ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vfnet_data.coco_writing import write_coco
from vfnet_data.dataset import AnnotatedImage, DetectionDataset

SIZE = (1600, 1200)
"""Width and height of a scene in pixels."""
HEIGHTS = ((330, 560, 2), (150, 280, 5), (66, 112, 14))
"""Of the photos in pixels, from and to, and how many of them a scene has. An object of odFridgeObjects is about a third
of its photo: of the last it is what COCO calls small, below 32 x 32 pixels in area."""
_GAP = 6
_TRIES = 400


def write_scenes(photos: DetectionDataset, folder: Path, scenes: int, seed: int = 0) -> Path:
    """JPEGs and their COCO JSON, the same for the same seed; the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    images = tuple(_scene(photos, folder, number, random) for number in range(1, scenes + 1))
    annotations = folder / "annotations.json"
    write_coco(DetectionDataset(photos.classes, images), annotations)
    return annotations


def _scene(photos: DetectionDataset, folder: Path, number: int, random: np.random.Generator) -> AnnotatedImage:
    scene = _ground(random)
    taken: list[tuple[int, int, int, int]] = []
    boxes, labels = [], []
    for low, high, count in HEIGHTS:
        for _ in range(count):
            photo = photos.images[int(random.integers(len(photos.images)))]
            height = int(random.integers(low, high + 1))
            width = round(photo.width * height / photo.height)
            place = _free_place((width, height), taken, random)
            if place is None:
                continue
            taken.append((*place, place[0] + width, place[1] + height))
            with Image.open(photo.path) as picture:
                scene.paste(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), place)
            scale = np.array([width / photo.width, height / photo.height] * 2)
            boxes.append(photo.boxes[~photo.crowd] * scale + np.array([*place, *place]))
            labels.append(photo.labels[~photo.crowd])
    path = folder / f"scene_{number:03}.jpg"
    scene.save(path, quality=95, subsampling=0)
    together = np.concatenate(boxes).astype(np.float32)
    return AnnotatedImage(
        path, number, *SIZE, together, np.concatenate(labels), np.zeros(len(together), np.bool_)
    )  # fmt: skip


def _ground(random: np.random.Generator) -> Image.Image:
    """A wall: one colour that changes slowly, and a little noise."""
    corners = random.integers(90, 190, (2, 2, 3)).astype(np.uint8)
    wall = np.asarray(Image.fromarray(corners).resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    noise = random.integers(-6, 7, (SIZE[1], SIZE[0], 1), np.int16)
    return Image.fromarray((wall + noise).clip(0, 255).astype(np.uint8))


def _free_place(
    size: tuple[int, int], taken: list[tuple[int, int, int, int]], random: np.random.Generator
) -> tuple[int, int] | None:
    for _ in range(_TRIES):
        x, y = (int(random.integers(0, side - own)) for side, own in zip(SIZE, size, strict=True))
        right, bottom = x + size[0] + _GAP, y + size[1] + _GAP
        if all(x > other[2] + _GAP or right < other[0] or y > other[3] + _GAP or bottom < other[1] for other in taken):
            return x, y
    return None
