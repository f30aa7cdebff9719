"""What the readers of the formats hand on: annotations as written, typed but not yet checked against images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vfnet_data.problems import Problems

Corners = tuple[float, float, float, float]
"""x1 y1 x2 y2."""


@dataclass(frozen=True)
class BoxRecord:
    """One annotated box."""

    where: str
    """Names it within its image, such as `box 2`."""
    label: str
    corners: Corners
    crowd: bool
    area: float | None = None
    """In square pixels, where the format states one."""


@dataclass(frozen=True)
class ImageRecord:
    """One annotated image."""

    where: str
    """Names it to a person: line, file or id."""
    image_id: int
    references: tuple[str, ...]
    """What the annotation calls the image file, the likeliest first."""
    width: int | None
    height: int | None
    """In pixels, as annotated; None where the annotation does not say."""
    boxes: tuple[BoxRecord, ...]


@dataclass(frozen=True)
class Annotations:
    """A whole file, or folder, of annotations."""

    records: tuple[ImageRecord, ...]
    folders: tuple[Path, ...]
    """Where the format usually keeps its images."""
    normalised: bool = False
    """Corners are fractions of width and height instead of pixels."""
    categories: dict[str, int] | None = None
    """Names and ids in order, where the format declares them."""
    problems: Problems = field(default_factory=Problems)
    """One sentence each."""
