"""Pascal VOC: one XML file an image, as the VOC challenges, labelImg and CVAT write it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from xml.etree.ElementTree import Element

from vfnet_client.bounded_files import FileRefusedError, is_regular, read_file, text_lines
from vfnet_client.safe_text import printable_line
from vfnet_data import values
from vfnet_data.bounded_xml import MOST_BYTES, parse_xml
from vfnet_data.problems import Problems
from vfnet_data.records import Annotations, BoxRecord, ImageRecord
from vfnet_data.values import shown
from vfnet_images.kinds import ENDINGS

_ANNOTATION_FOLDERS, _IMAGE_FOLDERS = ("Annotations", "annotations"), ("JPEGImages", "images")
_USUAL = (".jpg", ".jpeg", ".png", ".bmp")
_EXTENSIONS = tuple(dict.fromkeys(ending for each in (*_USUAL, *sorted(ENDINGS)) for ending in (each, each.upper())))
"""Of image files, the likeliest first."""
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_OTHER_SHAPES = ("polygon", "robndbox", "point", "mask")
_WITH_FLAG = re.compile(r"(.*\S)\s+-?\d+", re.ASCII)
"""A line of a list of one class, which says whether it is there (1, 0, -1), or which objects are meant."""
_LONGEST_LINE = 8192


def read_pascal_voc(source: Path) -> Annotations:
    """Read a folder of XML files, a folder with `Annotations` (and `JPEGImages`), or a list of names out of
    `ImageSets`. Images come by name, or in the list's order, and are numbered from 1.

    What is marked `difficult` counts as crowd: VOC's own evaluation leaves it out as well.
    """
    problems = Problems()
    folder, files = _find_files(source.absolute(), problems)
    records: list[ImageRecord] = []
    for path in files:
        record = _read_file(path, len(records) + 1, problems)
        if record is not None:
            records.append(record)
    folders = (*(parent / name for parent in (folder.parent, folder) for name in _IMAGE_FOLDERS), folder, folder.parent)
    return Annotations(tuple(records), folders, problems=problems)


def _find_files(source: Path, problems: Problems) -> tuple[Path, Sequence[Path]]:
    """The folder of the XML files, and those of them that are meant."""
    if source.is_dir():
        folder = next((source / name for name in _ANNOTATION_FOLDERS if (source / name).is_dir()), source)
        files = sorted(
            # A leading dot marks what macOS leaves beside every file: `._1.xml` is no annotation of `1.xml`.
            (p for p in folder.iterdir() if p.suffix.lower() == ".xml" and not p.name.startswith(".")),
            key=lambda path: _natural(path.stem),
        )
        if not files:
            problems.refuse(f"{folder} holds no XML files; for JSON or JSONL give the file itself")
        return folder, files
    for parent in source.parents:
        for name in _ANNOTATION_FOLDERS:
            if (parent / name).is_dir():
                return parent / name, _listed(source, parent / name, problems)
    problems.refuse("no folder Annotations lies beside or above this list")
    return source.parent, ()


def _listed(source: Path, folder: Path, problems: Problems) -> list[Path]:
    files = []
    try:
        for number, line in enumerate(text_lines(source, _LONGEST_LINE, "surrogateescape"), 1):
            if line.strip():
                candidates = [folder / f"{name}.xml" for name in _names(line.strip())]
                path = next(filter(is_regular, candidates), None)
                if path is not None:
                    files.append(path)
                else:
                    problems.append(f"line {number}: there is no {candidates[0]}")
    except FileRefusedError as error:
        problems.refuse(f"it {error.strerror}")
    return files


def _names(line: str) -> Iterator[str]:
    """What a line of a list may call an image, the likeliest first."""
    yield line
    path = PurePath(line.replace("\\", "/"))  # lists of other formats name files
    if path.suffix.lower() in ENDINGS:
        yield path.stem
    while match := _WITH_FLAG.fullmatch(line):
        line = match[1]
        yield line


def _natural(name: str) -> tuple[bool, int, str]:
    """Sorts 2 before 10, and numbers before words."""
    numeric = name.isdecimal() and name.isascii() and len(name) < 20
    return not numeric, int(name) if numeric else 0, name


def _read_file(path: Path, image_id: int, problems: list[str]) -> ImageRecord | None:
    try:
        root = parse_xml(read_file(path, MOST_BYTES))
    except OSError as error:
        problems.append(f"{path.name}: {error.strerror}")
        return None
    except ValueError as error:
        problems.append(f"{path.name}: {error}")
        return None
    if root.tag != "annotation":
        problems.append(f"{path.name}: its root is <{printable_line(root.tag, 40)}>, not <annotation>")
        return None
    width, height = _read_size(root, path, problems)
    named = _text(root, "filename")
    if named:
        try:
            named = values.field("filename", values.reference, named)
        except ValueError as error:
            problems.append(f"{path.name}: {error}")
            return None
    stems = dict.fromkeys(filter(None, (named, path.stem)))  # some tools leave the ending out
    references = [*filter(None, [named]), *(stem + ending for stem in stems for ending in _EXTENSIONS)]
    boxes = []
    # The challenges' own pixels count from 1, both corners inclusive. Everybody else's tools write plain coordinates.
    first = 1.0 if "VOC20" in _text(root, "source/database").replace(" ", "") else 0.0
    for position, element in enumerate(root.findall("object"), 1):
        try:
            boxes.append(_read_object(element, f"object {position}", first))
        except ValueError as error:
            problems.append(f"{path.name}: object {position}: {error}")
    return ImageRecord(path.name, image_id, tuple(references), width, height, tuple(boxes))


def _read_size(root: Element, path: Path, problems: list[str]) -> tuple[int | None, int | None]:
    texts = [_text(root, f"size/{name}") for name in ("width", "height")]
    if all(text in ("", "0") for text in texts):  # some tools write zeros for what they do not know
        return None, None
    sides: list[int | None] = []
    for name, text in zip(("width", "height"), texts, strict=True):
        try:
            sides.append(values.side(text))
        except ValueError as error:
            problems.append(f"{path.name}: {name} {error}")
            sides.append(None)
    return sides[0], sides[1]


def _read_object(element: Element, where: str, first: float) -> BoxRecord:
    label = values.field("name", values.label, _text(element, "name"))
    if element.find("bndbox") is None:
        shape = next(
            (each for each in ("polygon", "robndbox", "point", "mask") if element.find(each) is not None), None
        )
        raise ValueError("has no bndbox" + (f" but a {shape}: export boxes" if shape else ""))
    x1, y1, x2, y2 = (values.field(name, _coordinate, _text(element, f"bndbox/{name}")) for name in _CORNERS)
    difficult = values.field("difficult", values.crowd_flag, _text(element, "difficult") or "0")
    return BoxRecord(where, label, (x1 - first, y1 - first, x2, y2), difficult)


def _coordinate(text: object) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"is {shown(text)}, not a finite number")
    return value


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
