"""CSV and TSV tables: a column of paths, URLs, or base64 as the card's own batch samples have it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vfnet_batch.entries import Cell
from vfnet_batch.errors import BatchError
from vfnet_batch.inputs.finding import References
from vfnet_batch.inputs.lists import list_folders
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_tables import DELIMITERS, Dialect, read_record, read_records, sniff_table
from vfnet_client.contract import decode_image_item, is_url
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.safe_text import printable_line
from vfnet_images.kinds import is_image_name

_USUAL_COLUMNS = (
    *("image", "imageurl", "url", "path", "file", "filename", "imagepath", "filepath", "imagefile", "imagename"),
    *("imagefilename", "imagefilepath", "imageuri", "uri", "img", "imgpath", "imgurl", "imgfile", "imgname"),
    *("imagelocation", "location", "fullpath", "relativepath", "photo", "picture", "images", "files", "paths", "urls"),
)
"""Headings that people use, the likeliest first, in small letters and without what is no letter."""
_NO_LETTER = re.compile(r"[\W_]+")
_LONGEST_PATH = 4096
_SHORTEST_IMAGE = 100
"""Characters of base64 that may be an image."""
_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0A")
"""Of JPEG, PNG, GIF, WebP, BMP and TIFF."""
_SOME = 20


class Column(NamedTuple):
    """Which cells are the images."""

    number: int
    """From 0 on."""
    has_heading: bool
    """Whether the first row is one, and no image."""
    told: str
    """For people."""
    may_hold_images: bool = True
    """Whether what names no file may be an image in base64: not in a column that nothing speaks for."""


def table_source(path: Path, usual: str, column: str | None, images: Path | None) -> InputSource:
    """The images of a table's rows, in their order.

    Args:
        usual: the delimiter that its name promises; another one is found where that makes no sense.
        column: the heading of the column, or its number from 1 on; None takes the first usual heading (`image`, `url`,
            `image_path`, ...), else the column whose cells look like images, else the first. Where the first row looks
            like an image too, it is one.
        images: what relative paths are below; None is the table's folder and the working folder.

    Raises:
        BatchError: there is no such column.
        OSError: it is no text, or cannot be read.
    """
    dialect, sample = sniff_table(path, usual, _sense if column is None else lambda rows: _named(rows, column))
    chosen = _find_column(path, sample, column)

    def lines() -> Iterator[str]:
        references = References.exact(list_folders(path, images))
        try:
            for number, (start, end, cells) in enumerate(read_records(path, dialect)):
                if number == 0 and chosen.has_heading:
                    continue
                row = number + (not chosen.has_heading)
                text = cells[chosen.number].strip() if chosen.number < len(cells) else ""
                if not text:
                    yield references.blank(f"{path.name}, row {row}", f"row {row} has no image")
                elif not chosen.may_hold_images or _is_reference(text) or references.find(text) is not None:
                    yield references.line(text)
                else:
                    cell = Cell(start, end, chosen.number, dialect.delimiter, dialect.encoding)
                    yield references.cell(f"{path.name}, row {row}", str(path.absolute()), cell)
        except csv.Error as error:
            raise BatchError(f"{path} is no table: {error}") from error
        separated = f"separated by {DELIMITERS[dialect.delimiter]}"
        references.check(path, f"It was read as a table, cells {separated}, images in {chosen.told}.")

    return InputSource("table", str(path.absolute()), lines)


def read_cell(path: Path, cell: Cell) -> bytes:
    """The encoded image that stands in a table.

    Raises:
        InvalidImageError: it is no base64.
        OSError: the table cannot be read.
    """
    try:
        record = read_record(path, cell.start, cell.end, Dialect(cell.delimiter, cell.encoding))
        image = decode_image_item(record[cell.column])
    except (IndexError, csv.Error) as error:
        raise InvalidImageError("the table has changed while it was read") from error
    if not isinstance(image, bytes):
        raise InvalidImageError("the table has changed while it was read")
    return image


def _find_column(path: Path, sample: Sequence[list[str]], column: str | None) -> Column:
    headings = [heading.strip() for heading in sample[0]] if sample else []
    if column is not None:
        return _asked_for(path, headings, column)
    squashed = [_squash(heading) for heading in headings]
    usual = [squashed.index(each) for each in _USUAL_COLUMNS if each in squashed]
    shares = _image_shares(sample)
    if usual:
        # `path` is a folder where `filename` is the file: of several the first that holds images, or what may be some.
        index = next((each for each in usual if shares[each] > 0 or _is_long(sample, each)), usual[0])
        return Column(index, True, f"the column {headings[index]!r} of {_listed(headings)}")
    index = max(range(len(shares)), key=shares.__getitem__, default=0)
    is_likely = bool(shares) and shares[index] > 0
    has_heading = is_likely and not _is_image(_cell(sample[0], index))
    heading = f", {_cell(sample[0], index)!r} of {_listed(headings)}" if has_heading else ", without a heading"
    return Column(index, has_heading, f"column {index + 1}{heading}: --column names another", is_likely)


def _asked_for(path: Path, headings: list[str], column: str) -> Column:
    alike = [index for index, heading in enumerate(headings) if _squash(heading) == _squash(column)]
    if column in headings or len(alike) == 1:
        index = headings.index(column) if column in headings else alike[0]
        return Column(index, True, f"the column {headings[index]!r}")
    if column.isascii() and column.isdecimal() and 0 < int(column) <= len(headings):
        index = int(column) - 1
        return Column(index, not _is_image(headings[index]), f"column {index + 1}")
    listed = printable_line(_listed(headings), 500)
    raise BatchError(f"{path} has no column {column!r}; it has {listed}")


def _sense(sample: Sequence[list[str]]) -> int:
    """How much sense a delimiter makes: 2 where a heading is a usual one, 1 where a column looks like images."""
    if sample and any(_squash(heading) in _USUAL_COLUMNS for heading in sample[0]):
        return 2
    return int(any(share >= 0.5 for share in _image_shares(sample)))


def _named(sample: Sequence[list[str]], column: str) -> int:
    return int(bool(sample) and any(_squash(heading) == _squash(column) for heading in sample[0]))


def _image_shares(sample: Sequence[list[str]]) -> list[float]:
    """For each column the share of rows whose cell looks like an image."""
    width = max(map(len, sample), default=0)
    return [sum(_is_image(_cell(row, index)) for row in sample) / len(sample) for index in range(width)]


def _is_long(sample: Sequence[list[str]], index: int) -> bool:
    """Whether cells of a column are too long for names."""
    return any(len(_cell(row, index)) > _LONGEST_PATH for row in sample)


def _cell(row: Sequence[str], index: int) -> str:
    return row[index].strip() if index < len(row) else ""


def _is_image(text: str) -> bool:
    """Whether a cell looks like an image, or the place of one."""
    if text[:11].lower() == "data:image/" or is_url(text):
        return True
    if len(text) >= _SHORTEST_IMAGE and text.startswith(_BASE64_STARTS):
        return True
    return len(text) <= _LONGEST_PATH and is_image_name(text.strip("\"'"))


def _squash(heading: str) -> str:
    return _NO_LETTER.sub("", heading).lower()


def _listed(headings: Sequence[str]) -> str:
    more = f" and {len(headings) - _SOME} more" if len(headings) > _SOME else ""
    return ", ".join(headings[:_SOME]) + more


def _is_reference(text: str) -> bool:
    """Whether a cell names an image; else it is one."""
    if is_url(text):
        return True
    if text[:5].lower() == "data:" or len(text) > _LONGEST_PATH:
        return False
    if "." in text or " " in text or "\\" in text:  # which base64 has not
        return True
    try:
        decode_image_item(text)
    except InvalidImageError:
        return True
    return False
