"""The entry: a file or folder of annotations in any of the formats -> a checked data set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from vfnet_client.bounded_files import FileRefusedError, read_text
from vfnet_client.safe_text import printable_line
from vfnet_data.automl_jsonl import read_automl_jsonl
from vfnet_data.box_layouts import DECLARED
from vfnet_data.checking import check_images
from vfnet_data.coco_json import read_coco_json
from vfnet_data.dataset import DatasetError, DetectionDataset
from vfnet_data.mltable import is_mltable, read_mltable
from vfnet_data.pascal_voc import read_pascal_voc
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations
from vfnet_data.values import MOST_BYTES, MOST_CLASSES

_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_TABLES = (".csv", ".tsv", ".parquet", ".xlsx", ".xls")
_HEAD = 65536
_LONGEST_NOTE = 1000


def read_dataset(
    source: Path,
    images: Path | None = None,
    classes: Sequence[str] | None = None,
    *,
    allow_unreadable: bool = False,
    skip_invalid: bool | None = None,
    box_layout: str | None = None,
) -> DetectionDataset:
    """Read annotations and check every one of them, and every image file, before anything is computed.

    The format is found by looking: AutoML JSONL, or an MLTable folder that names some; COCO JSON; Pascal VOC, which is
    a folder of XML files, a folder with `Annotations` and `JPEGImages`, or a list of names below `ImageSets`. Image
    files are measured, not decoded. Boxes that stick out of their image are clipped, as MMDetection clips them. Boxes
    that are meant in another way than the format says are converted where that is beyond doubt, see
    `vfnet_data.box_layouts`. Long readings show progress on stderr.

    Args:
        source: the annotation file, or the folder of a Pascal VOC set.
        images: the folder the image files are in; None looks beside and above the annotations.
        classes: the label order. None: COCO's by category id, otherwise the names found, sorted.
        allow_unreadable: keep images whose file is there but cannot be read, if the annotation gives their size.
        skip_invalid: leave out what has problems, and say so in `notes`, instead of refusing all. False, unlike None:
            the refusal says that --skip-invalid does that.
        box_layout: what COCO's four numbers are, one of `vfnet_data.box_layouts.LAYOUTS`; None finds it. Other formats
            say it themselves.

    Raises:
        DatasetError: lists everything that is wrong: image files missing, unreadable, truncated, used twice or of
            another size than annotated; boxes inverted, empty, not finite or outside their image; labels not in
            `classes`; crowd flags, ids, sizes and lines that make no sense.
    """
    annotations = _read(source)
    problems = annotations.problems
    if images is not None and not images.is_dir():
        raise DatasetError(source, [f"there is no folder {images} to find the images in"])
    if not annotations.records and not problems:
        problems.refuse("it holds no images")
    names, category_ids = _classes(annotations, classes, problems)
    if len(names) > MOST_CLASSES:
        raise DatasetError(source, [f"it has {len(names)} classes; a network here has at most {MOST_CLASSES}"])
    notes = _alike(names)
    if box_layout is not None and annotations.layout != DECLARED:
        notes.append("it is not COCO JSON, so that --boxes changes nothing")
        box_layout = None
    checked, told = check_images(annotations, images, names, allow_unreadable, box_layout)
    notes += told
    if problems and (not skip_invalid or problems.is_fatal or not checked):
        raise DatasetError(source, problems, can_skip=skip_invalid is False and bool(checked))
    if problems:
        notes.append(problems.left_out(str(source)))
    supercategories = tuple(annotations.supercategories.get(name) for name in names)
    return DetectionDataset(
        names, tuple(checked), category_ids, tuple(notes), is_partial=bool(problems), supercategories=supercategories
    )


def _read(source: Path) -> Annotations:
    if not _exists(source):
        raise DatasetError(source, ["there is no such file or folder"])
    if is_mltable(source):
        return read_mltable(source)
    suffix = source.suffix.lower()
    if source.is_dir() or suffix == ".txt":
        return read_pascal_voc(source)
    if suffix in _TABLES:
        raise DatasetError(source, ["it is a table; annotations are COCO JSON, AutoML JSONL or Pascal VOC"])
    try:
        text = read_text(source, MOST_BYTES)
    except OSError as error:
        said = f"it {error.strerror}" if isinstance(error, FileRefusedError) else str(error.strerror)
        raise DatasetError(source, [said]) from None
    first_line = text[:_HEAD].lstrip().partition("\n")[0]
    if suffix in _JSONL_SUFFIXES or '"image_url"' in first_line:
        return read_automl_jsonl(source, text)
    return read_coco_json(source, text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a link in a circle
        return False


def _alike(names: Sequence[str]) -> list[str]:
    """A note where classes look like one that was written in several ways."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        spellings.setdefault(" ".join(plain.split()), []).append(name)
    several = "; ".join(", ".join(map(repr, each)) for each in spellings.values() if len(each) > 1)
    if not several:
        return []
    words = "these classes differ in capitals, spaces or accents only, and are several"
    return [printable_line(f"{words}: {several}", _LONGEST_NOTE)]


def _classes(
    annotations: Annotations, wanted: Sequence[str] | None, problems: Problems
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names in label order, and their category ids."""
    declared = annotations.categories
    if wanted is None and declared is not None:
        return tuple(declared), tuple(declared.values())
    if wanted is None:
        found = {box.label for record in annotations.records for box in record.boxes}
        return tuple(sorted(found)), ()
    names = tuple(wanted)
    if len(set(names)) != len(names) or not all(names):
        problems.refuse(f"the classes asked for are not distinct names: {', '.join(names)}")
        names = tuple(dict.fromkeys(name for name in names if name))
    if declared is None:
        return names, ()
    free = max(declared.values(), default=0)
    category_ids = []
    for name in names:
        free += name not in declared
        category_ids.append(declared.get(name, free))
    return names, tuple(category_ids)
