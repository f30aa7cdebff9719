"""Pictures to measure with: photos that were named, else the sample scene, in the commonest sizes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from vfnet_bench.gpu.conditions import Conditions
from vfnet_build.photo_canvases import PHOTO_SIZES
from vfnet_images.decoding import decode_image
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_runtime.resizing import resize_onto_canvas

UNIFORM = ((640, 480),)
"""The commonest width and height."""
_ENDINGS = {".jpg", ".jpeg", ".png"}


def jpegs(conditions: Conditions, sizes: tuple[tuple[int, int], ...] = PHOTO_SIZES) -> list[bytes]:
    """JPEG files of these widths and heights."""
    photos = _photos(conditions.images)
    files = []
    for number, size in enumerate(sizes):
        out = io.BytesIO()
        photos[number % len(photos)].resize(size).save(out, "JPEG", quality=90)
        files.append(out.getvalue())
    return files


def picture_arrays(
    conditions: Conditions, preprocess: PreprocessConfig, sizes: tuple[tuple[int, int], ...]
) -> Iterator[tuple[Any, Any]]:
    """What `vfnet_preprocess` makes of `jpegs`: pixels uint8 [1, H, W, 3] and valid_shape int32 [1, 2]."""
    for file in jpegs(conditions, sizes):
        decoded = decode_image(file, 10**8)
        resized = resize_onto_canvas(decoded, preprocess.img_scale, preprocess.size_divisor)
        yield resized.pixels, resized.valid_shape


def photo_paths(folder: Path) -> list[Path]:
    """The photos in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)


def _photos(folder: Path | None) -> list[Image.Image]:
    if folder and (paths := photo_paths(folder)):
        return [Image.open(path).convert("RGB") for path in paths[:7]]
    return [Image.open(SAMPLE_PICTURE).convert("RGB")]
