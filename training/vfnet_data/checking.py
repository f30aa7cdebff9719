"""Annotations against each other and against the images they are about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vfnet_client.progress import with_progress
from vfnet_client.similar_names import SimilarNames
from vfnet_data.box_layouts import ROUNDING_PX, find_meaning, lone_fractions
from vfnet_data.dataset import AnnotatedImage
from vfnet_data.image_files import ImageFileError, ImageFinder, ImageHeader, read_header
from vfnet_data.records import Annotations, BoxRecord, ImageRecord
from vfnet_data.values import shown

_THREADS = 8  # they wait for the disk together; the headers themselves are quickly read
_SOME_CLASSES = 10
_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
Size = tuple[int, int]
Floats = npt.NDArray[np.float64]


def check_images(
    annotations: Annotations,
    images: Path | None,
    classes: Sequence[str],
    allow_unreadable: bool,
    box_layout: str | None = None,
) -> tuple[list[AnnotatedImage], list[str]]:
    """Images with their boxes in pixels and labels as indices into `classes`; and what a person should know of them.

    What is wrong is appended to `annotations.problems`, and left out.

    Args:
        images: where to look for them, instead of where the format usually keeps them.
        allow_unreadable: a file that is there but cannot be read is no problem where the annotation gives its size.
        box_layout: see `read_dataset`.
    """
    found = _find_all(annotations, images, allow_unreadable)
    boxes = _Boxes(annotations, found, classes, box_layout)
    if boxes.meaning.problem:
        annotations.problems.refuse(boxes.meaning.problem)
    checked: list[AnnotatedImage] = []
    begin = 0
    for record, image in zip(annotations.records, found, strict=True):
        end = begin + len(record.boxes)
        if image.problem is not None:
            annotations.problems.append(f"{record.where}: {image.problem}")
        for index in np.flatnonzero(boxes.wrong[begin:end]).tolist():
            box = record.boxes[index]
            reason = boxes.reason(begin + index, box, classes)
            annotations.problems.append(f"{record.where}: {box.where}: {reason}")
        if image.problem is None:
            width, height = image.size or (record.width or 0, record.height or 0)
            checked.append(
                AnnotatedImage(image.path, record.image_id, width, height, **boxes.arrays(slice(begin, end)))
            )
        begin = end
    return checked, boxes.notes() + _turned(annotations.records, found)


class _Found(NamedTuple):
    """An image that was looked for."""

    path: Path
    size: Size | None
    """As stored; None where it cannot be read."""
    problem: str | None
    may_be_drawn_turned: bool = False
    """Boxes may be meant in the frame of the picture as viewers turn it."""


def _find_all(annotations: Annotations, images: Path | None, allow_unreadable: bool) -> list[_Found]:
    finder = ImageFinder(annotations.folders if images is None else (images,))
    similar = SimilarNames()
    found, owners = [], dict[Path, str]()
    with ThreadPoolExecutor(_THREADS) as pool:
        measured = pool.map(lambda record: _find(record, finder), annotations.records)
        listed = zip(annotations.records, measured, strict=True)
        for record, (path, header, problem) in with_progress(listed, len(annotations.records), "checking images"):
            if problem is not None and allow_unreadable and path is not None and record.width and record.height:
                problem = None
            if path is None and problem is not None:
                problem += similar.hint(finder.places(record.references))
            elif problem is None and path is not None:
                problem = _contradiction(record, path, header, owners)
            is_doubtful = problem is None and header is not None and _may_be_drawn_turned(record, header)
            found.append(_Found(path or Path(), header and header.size, problem, is_doubtful))
    return found


def _find(record: ImageRecord, finder: ImageFinder) -> tuple[Path | None, ImageHeader | None, str | None]:
    """Where the image is and its header, or what is wrong with it."""
    path = finder.find(record.references)
    if path is None:
        where = (
            f"in {finder.folders[0]}" if len(finder.folders) == 1 else "near the annotations: name the folder of images"
        )
        return None, None, f"there is no image {shown(record.references[0], 200)} {where}"
    try:
        return path, read_header(path), None
    except ImageFileError as error:
        return path, None, f"{path}: {error}"


def _contradiction(record: ImageRecord, path: Path, header: ImageHeader | None, owners: dict[Path, str]) -> str | None:
    """What is wrong with an image that can be read."""
    owner = owners.setdefault(path, record.where)
    if owner is not record.where:
        return f"{path} is the image of {owner} already"
    annotated = (record.width, record.height)
    if header is None:
        return None
    size = header.size
    if all(have in (None, real) for have, real in zip(annotated, size, strict=True)):
        return None
    said = " x ".join("?" if side is None else str(side) for side in annotated)
    problem = f"{path} is {size[0]} x {size[1]} pixels, but annotated as {said}"
    if annotated == size[::-1] and header.orientation in _ON_ITS_SIDE:
        problem += " (as viewers turn it by its EXIF orientation; the detector sees it as stored: store it turned)"
    elif annotated == size[::-1]:
        problem += " (width and height are exchanged)"
    elif record.width and record.height and abs(record.width * size[1] - record.height * size[0]) <= max(size):
        problem += f" (resized by {size[0] / record.width:.4g}: its boxes are of the other size)"
    return problem


def _may_be_drawn_turned(record: ImageRecord, header: ImageHeader) -> bool:
    """Whether its boxes may have been drawn on the picture as viewers turn it, and no size tells."""
    if header.orientation == 1 or not record.boxes:
        return False
    is_told = record.width and record.height and header.size[0] != header.size[1]
    return not (is_told and header.orientation in _ON_ITS_SIDE)


def _turned(records: Sequence[ImageRecord], found: Sequence[_Found]) -> list[str]:
    """A note on images whose boxes may be meant in another frame than they are taken in."""
    doubtful = [record.where for record, image in zip(records, found, strict=True) if image.may_be_drawn_turned]
    if not doubtful:
        return []
    images = "1 image is" if len(doubtful) == 1 else f"{len(doubtful):,} images are"
    return [
        f"{images} turned or mirrored by viewers, as EXIF says ({doubtful[0]}), and boxes are taken as drawn on the "
        "pixels as stored: if the annotation tool showed them turned, store them turned"
    ]


class _Boxes:
    """All boxes of a source, one row each, in the order of their images.

    Args:
        found: the images of the records.
        classes: names in label order.
        box_layout: see `read_dataset`.
    """

    def __init__(
        self, annotations: Annotations, found: Sequence[_Found], classes: Sequence[str], box_layout: str | None
    ) -> None:
        records = annotations.records
        every = [box for record in records for box in record.boxes]
        written = np.array([box.numbers for box in every], np.float64).reshape(-1, 4)
        stated = np.array([math.nan if box.area is None else box.area for box in every], np.float64)
        counts = np.array([len(record.boxes) for record in records], np.int64)
        sizes = np.array(list(map(_frame, records, found)), np.float64).reshape(-1, 2)
        self._frames = np.repeat(sizes, counts, axis=0)
        known = {name: index for index, name in enumerate(classes)}
        self._labels = np.array([known.get(box.label, -1) for box in every], np.int64)
        self._crowd = np.array([box.crowd for box in every], np.bool_)
        ignored = np.array([box.ignored for box in every], np.bool_)
        with np.errstate(all="ignore"):  # numbers of any size
            self.meaning = find_meaning(
                written, self._frames, stated, annotations.layout, annotations.normalised, box_layout
            )
            self._place(written)
            self._weigh(stated, ignored)
            self._fractions = lone_fractions(written, self.meaning)
        self.wrong = self._misplaced | (self._labels < 0) | (self._areas < 0) | self._fractions

    def _place(self, written: Floats) -> None:
        """Where they are in their images, in pixels."""
        self._shown = self.meaning.corners(written)
        scale = self.meaning.scale(self._frames)
        self._raw = raw = np.where(np.isfinite(scale), self._shown * scale, self._shown)
        most = np.concatenate([self._frames, self._frames], axis=1)
        most = np.where(np.isfinite(most), most, np.inf)
        # In the precision it is kept in: a sliver must not round to nothing.
        self._inside = np.clip(raw, 0, most).astype(np.float32)
        side = raw[:, 2:] - raw[:, :2]
        self._inverted, self._empty = (side < 0).any(axis=1), (side == 0).any(axis=1)
        self._far = ((raw < -most) | (raw > 2 * most)).any(axis=1)
        self._outside = (self._inside[:, 2:] <= self._inside[:, :2]).any(axis=1)
        self._misplaced = self._inverted | self._empty | self._far | self._outside
        self._over = np.maximum(-raw, raw - most).max(axis=1, initial=0)
        # Not of corners, whose difference is rounded: MMDetection compares the width that is written.
        self._subpixel = (self.meaning.sides(written) * scale[:, 2:] < 1).any(axis=1)

    def _weigh(self, stated: Floats, ignored: npt.NDArray[np.bool_]) -> None:
        """Their areas, and which of them MMDetection does not train on."""
        inside = self._inside.astype(np.float64)
        own = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
        if self.meaning.is_fraction:  # their areas are fractions of the image's, too, unless they are larger
            stated = np.where(stated <= 1, stated * self._frames.prod(axis=1), stated)
        self._areas = np.where(np.isnan(stated), own, stated)
        self._untrained = np.select([ignored, self._subpixel, self._areas <= 0], [1, 2, 3], 0).astype(np.uint8)

    def arrays(self, rows: slice) -> dict[str, Any]:
        """What an `AnnotatedImage` has of its boxes."""
        kept = ~self.wrong[rows]
        untrained = self._untrained[rows][kept]
        return {
            "boxes": self._inside[rows][kept],
            "labels": self._labels[rows][kept],
            "crowd": self._crowd[rows][kept],
            "areas": self._areas[rows][kept],
            "untrained": untrained if untrained.any() else None,
            "left_out": len(kept) - int(np.count_nonzero(kept)),
        }

    def reason(self, row: int, box: BoxRecord, classes: Sequence[str]) -> str:
        """What is wrong with a box."""
        said = f"the box ({', '.join(f'{value:.6g}' for value in self._shown[row])})"
        width, height = self._frames[row]
        frame = "0 to 1" if self.meaning.is_fraction else f"{width:g} x {height:g} pixels"
        if self._inverted[row]:
            return f"{said} is inverted"
        if self._empty[row]:
            return f"{said} is empty"
        if self._far[row]:
            return f"{said} reaches far out of its image ({frame})"
        if self._outside[row]:
            return f"{said} lies outside its image ({frame})" if self._lies_outside(row) else f"{said} is empty"
        if self._fractions[row]:
            return f"{said} is in fractions of its image, and other boxes are in pixels"
        if self._labels[row] < 0:
            more = f" and {len(classes) - _SOME_CLASSES} more" if len(classes) > _SOME_CLASSES else ""
            return f"unknown label {shown(box.label)}; known are {', '.join(classes[:_SOME_CLASSES])}{more}"
        return f"area is {box.area:.6g}, below 0"

    def notes(self) -> list[str]:
        """What a person should know: how the boxes were read, and what was clipped."""
        clipped = self._over[~self.wrong]
        clipped = clipped[clipped > ROUNDING_PX]
        found = [self.meaning.note] if self.meaning.note else []
        if len(clipped):
            boxes = "1 box reaches" if len(clipped) == 1 else f"{len(clipped):,} boxes reach"
            found.append(
                f"{boxes} over the edge of the image, by up to {clipped.max():.4g} pixels: clipped, as MMDetection does"
            )
        return found

    def _lies_outside(self, row: int) -> bool:
        return bool((self._raw[row, :2] >= self._frames[row]).any() or (self._raw[row, 2:] <= 0).any())


def _frame(record: ImageRecord, image: _Found) -> tuple[float, float]:
    """Width and height that boxes are checked against: the annotated ones, a wrong size being one problem alone."""
    if record.width and record.height:
        return record.width, record.height
    return image.size or (math.nan, math.nan)
