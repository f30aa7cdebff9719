"""Annotations against each other and against the images they are about."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from vfnet_client.progress import with_progress
from vfnet_data.dataset import AnnotatedImage
from vfnet_data.image_files import ImageFileError, ImageFinder, is_shown_turned, read_size
from vfnet_data.records import Annotations, BoxRecord, Corners, ImageRecord
from vfnet_data.values import shown

ROUNDING_PX = 1.0
"""A box may stick out of its image by this much, and is clipped: rounding in whole pixels does that."""
_THREADS = 8  # they wait for the disk together; the headers themselves are quickly read
_SOME_CLASSES = 10
Size = tuple[int, int]


def check_images(
    annotations: Annotations, images: Path | None, classes: Sequence[str], allow_unreadable: bool
) -> list[AnnotatedImage]:
    """Images with their boxes in pixels and labels as indices into `classes`.

    What is wrong is appended to `annotations.problems`, and left out.

    Args:
        images: where to look for them, instead of where the format usually keeps them.
        allow_unreadable: a file that is there but cannot be read is no problem where the annotation gives its size.
    """
    finder = ImageFinder(annotations.folders if images is None else (images,))
    known = {name: index for index, name in enumerate(classes)}
    checked, owners = [], dict[Path, str]()
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda record: _find(record, finder), annotations.records)
        listed = zip(annotations.records, found, strict=True)
        for record, (path, size, problem) in with_progress(listed, len(annotations.records), "checking images"):
            if problem is not None and allow_unreadable and path is not None and record.width and record.height:
                problem = None
            if problem is None and path is not None:
                problem = _contradiction(record, path, size, owners)
            if problem is not None:
                annotations.problems.append(f"{record.where}: {problem}")
            image = _check_boxes(record, path or Path(), size, known, annotations)
            checked.append(image)
    return checked


def _find(record: ImageRecord, finder: ImageFinder) -> tuple[Path | None, Size | None, str | None]:
    """Where the image is and how large, or what is wrong with it."""
    path = finder.find(record.references)
    if path is None:
        where = (
            f"in {finder.folders[0]}" if len(finder.folders) == 1 else "near the annotations: name the folder of images"
        )
        return None, None, f"there is no image {shown(record.references[0], 200)} {where}"
    try:
        return path, read_size(path), None
    except ImageFileError as error:
        return path, None, f"{path}: {error}"


def _contradiction(record: ImageRecord, path: Path, size: Size | None, owners: dict[Path, str]) -> str | None:
    """What is wrong with an image that can be read."""
    owner = owners.setdefault(path, record.where)
    if owner is not record.where:
        return f"{path} is the image of {owner} already"
    annotated = (record.width, record.height)
    if size is None or all(have in (None, real) for have, real in zip(annotated, size, strict=True)):
        return None
    said = " x ".join("?" if side is None else str(side) for side in annotated)
    problem = f"{path} is {size[0]} x {size[1]} pixels, but annotated as {said}"
    if annotated == size[::-1] and is_shown_turned(path):
        problem += " (as viewers turn it by its EXIF orientation; the detector sees it as stored: store it turned)"
    return problem


def _check_boxes(
    record: ImageRecord, path: Path, size: Size | None, known: dict[str, int], annotations: Annotations
) -> AnnotatedImage:
    # A wrong size is one problem, and not one more for each of its boxes.
    frame = (record.width, record.height) if record.width and record.height else size
    corners, labels, crowd, areas = [], [], [], []
    for box in record.boxes:
        try:
            corners.append(_clipped(box, frame, annotations.normalised))
            labels.append(_label(box, known))
            crowd.append(box.crowd)
            areas.append(_area(box, corners[-1]))
        except ValueError as error:
            annotations.problems.append(f"{record.where}: {box.where}: {error}")
    width, height = size or (record.width or 0, record.height or 0)
    count = len(areas)
    return AnnotatedImage(
        path=path,
        image_id=record.image_id,
        width=width,
        height=height,
        boxes=np.array(corners[:count], np.float32).reshape(-1, 4),
        labels=np.array(labels[:count], np.int64),
        crowd=np.array(crowd[:count], np.bool_),
        areas=np.array(areas, np.float64),
    )


def _clipped(box: BoxRecord, frame: tuple[int, int] | None, normalised: bool) -> Corners:
    """The box in pixels and inside its image. Raises ValueError: says what is wrong with it."""
    x1, y1, x2, y2 = box.corners
    said = ", ".join(f"{value:.6g}" for value in box.corners)
    if x2 < x1 or y2 < y1:
        raise ValueError(f"the box ({said}) is inverted")
    if x2 == x1 or y2 == y1:
        raise ValueError(f"the box ({said}) is empty")
    if frame is None:
        return box.corners
    width, height = frame
    if normalised:
        x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
    if min(x1, y1) < -ROUNDING_PX or x2 > width + ROUNDING_PX or y2 > height + ROUNDING_PX:
        bounds = "0 to 1" if normalised else f"{width} x {height} pixels"
        raise ValueError(f"the box ({said}) reaches out of its image ({bounds})")
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    # In the precision it is kept in: a sliver must not round to nothing.
    rounded = np.array(inside, np.float32)
    if rounded[2] <= rounded[0] or rounded[3] <= rounded[1]:
        raise ValueError(f"the box ({said}) is empty")
    return inside


def _label(box: BoxRecord, known: dict[str, int]) -> int:
    if box.label not in known:
        more = f" and {len(known) - _SOME_CLASSES} more" if len(known) > _SOME_CLASSES else ""
        some = ", ".join(islice(known, _SOME_CLASSES))
        raise ValueError(f"unknown label {shown(box.label)}; known are {some}{more}")
    return known[box.label]


def _area(box: BoxRecord, corners: Corners) -> float:
    if box.area is None:
        return (corners[2] - corners[0]) * (corners[3] - corners[1])
    if box.area < 0:
        raise ValueError(f"area is {box.area:.6g}, below 0")
    return box.area
