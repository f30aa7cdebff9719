"""Pictures to decode: a person's own, and ones of any size made of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from PIL import Image

from vfnet_bench.errors import BenchmarkError
from vfnet_client.bounded_files import read_file
from vfnet_client.images import MAX_FILE_BYTES, expand
from vfnet_images.decoding import ImageError, decode_image
from vfnet_images.kinds import claimed_kind
from vfnet_load.coco_sizes import ImageSize

_QUALITY = 90
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": _QUALITY}),
    "progressive JPEG": ("JPEG", {"quality": _QUALITY, "progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": _QUALITY}),
    "TIFF": ("TIFF", {"compression": "tiff_lzw"}),
}
FORMATS = tuple(_FORMATS)
"""That pictures are made in."""


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures that are measured together."""

    name: str
    encoded: tuple[bytes, ...]

    @property
    def mean_bytes(self) -> float:
        """Of a file."""
        return sum(map(len, self.encoded)) / len(self.encoded)


def own_pictures(folder: Path, most: int) -> list[Pictures]:
    """The first `most` images of a folder that can be read, as they are, by kind.

    Raises:
        BenchmarkError: none of them can be read.
        CommandError: the folder holds no image.
    """
    by_kind: dict[str, list[bytes]] = {}
    left = most
    for source in expand([str(folder)]):
        assert isinstance(source.location, Path)
        encoded = read_file(source.location, MAX_FILE_BYTES)
        kind = claimed_kind(encoded)
        try:
            decode_image(encoded)
        except ImageError:
            continue
        assert kind is not None
        by_kind.setdefault(kind.name, []).append(encoded)
        left -= 1
        if not left:
            break
    if not by_kind:
        raise BenchmarkError(f"{folder}: none of the images there can be read")
    return [Pictures(f"{kind}, yours", tuple(files)) for kind, files in by_kind.items()]


def mosaic(photos: Sequence[bytes], size: ImageSize, format_name: str) -> Pictures:
    """One picture of a size, made of photos side by side, none enlarged or reduced: as full of detail as they are."""
    tiles = [Image.fromarray(decode_image(photo)) for photo in photos]
    width, height = min(tile.width for tile in tiles), min(tile.height for tile in tiles)
    picture, tile = Image.new("RGB", (size.width, size.height)), cycle(tiles)
    for y in range(0, size.height, height):
        for x in range(0, size.width, width):
            picture.paste(next(tile).crop((0, 0, width, height)), (x, y))
    out = io.BytesIO()
    pillow, options = _FORMATS[format_name]
    picture.save(out, pillow, **options)
    return Pictures(f"{format_name}, {size.width} x {size.height}", (out.getvalue(),))
