"""What the readers of the formats hand on: annotations as written, typed but not yet checked against images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vfnet_data.box_layouts import CORNERS
from vfnet_data.problems import Problems

FourNumbers = tuple[float, float, float, float]


class BoxRecord(NamedTuple):
    """One annotated box."""

    where: str
    """Names it within its image, such as `box 2`."""
    label: str
    numbers: FourNumbers
    """As they are written; `Annotations.layout` says what they are."""
    crowd: bool
    area: float | None = None
    """Where the format states one: in square pixels."""
    ignored: bool = False
    """COCO's `ignore`: MMDetection does not train on it."""


class ImageRecord(NamedTuple):
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
    layout: str = CORNERS
    """What a box's four numbers are by the format's rules: one of `vfnet_data.box_layouts.LAYOUTS`."""
    normalised: bool = False
    """They are fractions of width and height instead of pixels, by the format's rules."""
    categories: dict[str, int] | None = None
    """Names and ids in order, where the format declares them."""
    supercategories: dict[str, str] = field(default_factory=dict)
    """By the name of a category, where the format names one."""
    problems: Problems = field(default_factory=Problems)
    """One sentence each."""
