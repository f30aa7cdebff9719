"""CSV and TSV tables: a column of paths, URLs, or base64 as the card's own batch samples have it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vfnet_batch.entries import Cell, to_line
from vfnet_batch.errors import BatchError
from vfnet_batch.inputs.finding import find_exactly, line_of
from vfnet_batch.inputs.lists import list_folders
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_files import open_regular
from vfnet_client.contract import decode_image_item, is_url
from vfnet_client.exceptions import InvalidImageError

_USUAL_COLUMNS = ("image", "image_url", "url", "path", "file", "filename", "file_name")
_LONGEST_PATH = 4096
_LONGEST_CELL = 140 * 10**6
"""Characters: an image of `MAX_DOWNLOAD_BYTES` in base64, with line breaks."""
_LONGEST_LINE = 150 * 10**6
"""Bytes."""
_MOST_CELLS = 100_000
"""Of a line."""


def table_source(path: Path, delimiter: str, column: str | None, images: Path | None) -> InputSource:
    """The images of a table's rows, in their order.

    Args:
        column: the heading of the column; None takes the first usual one (`image`, `url`, `path`, ...), and the first
            column of all where no heading is known. Then the first row is an image too.
        images: what relative paths are below; None is the table's folder and the working folder.

    Raises:
        BatchError: there is no such column.
    """
    index, has_header = _find_column(path, delimiter, column)

    def lines() -> Iterator[str]:
        find = find_exactly(list_folders(path, images))
        for number, (start, end, record) in enumerate(_records(path, delimiter)):
            if number == 0 and has_header:
                continue
            row = number + (not has_header)
            text = record[index].strip() if index < len(record) else ""
            if not text:
                yield to_line(f"{path.name}, row {row}", problem=f"row {row} has no image")
            elif _is_reference(text) or find(text) is not None:
                yield line_of(text, find)
            else:
                cell = Cell(start, end, index, delimiter)
                yield to_line(f"{path.name}, row {row}", location=str(path.absolute()), cell=cell)

    return InputSource("table", str(path.absolute()), lines)


def read_cell(path: Path, cell: Cell) -> bytes:
    """The encoded image that stands in a table.

    Raises:
        InvalidImageError: it is no base64.
        OSError: the table cannot be read.
    """
    with open_regular(path) as file:
        file.seek(cell.start)
        text = file.read(cell.end - cell.start).decode("utf-8", "replace")
    try:
        record = next(_reader(io.StringIO(text, newline=""), cell.delimiter))
        image = decode_image_item(record[cell.column])
    except (StopIteration, IndexError, csv.Error) as error:
        raise InvalidImageError("the table has changed while it was read") from error
    if not isinstance(image, bytes):
        raise InvalidImageError("the table has changed while it was read")
    return image


def _find_column(path: Path, delimiter: str, column: str | None) -> tuple[int, bool]:
    """The index of the images' column, and whether the first row is a heading."""
    headings = [heading.strip() for heading in next(_records(path, delimiter), (0, 0, []))[2]]
    if column is not None:
        if column not in headings:
            raise BatchError(f"{path} has no column {column!r}; it has {', '.join(headings[:20])[:500]}")
        return headings.index(column), True
    lower = [heading.lower() for heading in headings]
    for usual in _USUAL_COLUMNS:
        if usual in lower:
            return lower.index(usual), True
    return 0, False


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """The rows that are not blank, and which bytes of the file hold each.

    Raises:
        BatchError: it is no table.
    """
    with open_regular(path) as file:
        lines = _CountedLines(file, delimiter)
        reader = _reader(lines, delimiter)
        while True:
            start = lines.taken
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise BatchError(f"{path} is no table: {error}, at byte {start}") from error
            if record:
                yield start, lines.taken, record


class _CountedLines:
    """A file's lines as text, and how many bytes were taken."""

    def __init__(self, file: BinaryIO, delimiter: str) -> None:
        self._file, self._delimiter = file, delimiter.encode()
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise csv.Error(f"a line has over {_LONGEST_LINE} bytes")
            if line.count(self._delimiter) > _MOST_CELLS:
                raise csv.Error(f"a line has over {_MOST_CELLS} cells")
            text = line.decode("utf-8-sig" if self.taken == 0 else "utf-8", "surrogateescape")
            self.taken += len(line)
            yield text


def _reader(lines: _CountedLines | io.StringIO, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    return csv.reader(iter(lines), delimiter=delimiter)


def _is_reference(text: str) -> bool:
    """Whether a cell names an image; else it is one."""
    if is_url(text):
        return True
    if text[:5].lower() == "data:" or len(text) > _LONGEST_PATH:
        return False
    if "." in text or " " in text:  # which base64 has not
        return True
    try:
        decode_image_item(text)
    except InvalidImageError:
        return True
    return False
