"""Tables of text (CSV, TSV) that somebody else wrote, read within bounds, whichever program saved them.

The delimiter and the encoding are found by looking: Excel writes semicolons where the comma is the decimal sign, and
tabs in UTF-16 as "Unicode text"; PowerShell writes a line about types before the heading. A record is known by the
bytes of the file that hold it, and can be read again by them.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vfnet_client.bounded_files import FileRefusedError, binary_kind, open_regular, text_encoding

LONGEST_CELL = 140 * 10**6
"""Characters: an image of 100 MB in base64, with line breaks."""
LONGEST_LINE = 150 * 10**6
"""Bytes."""
MOST_CELLS = 100_000
"""Of a line."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What cells are separated by, and what that is called."""
_HEAD = 65536
"""Bytes that are looked at to find delimiter and heading."""
_SAMPLE = 50
"""Records."""
_SAME_LENGTH = 0.9
"""The share of records with one number of cells that makes a delimiter credible."""
_MARKS = {"utf-8-sig": ("utf-8", 3), "utf-16": ("", 2), "utf-32": ("", 4)}
_DATA_URL = re.compile(r"data:[\w/+.-]*(;[\w=-]+)*;base64,")
"""Its own semicolon and comma separate nothing."""
_PREAMBLE = re.compile(r"\A(?:sep=(?P<delimiter>[,;\t|])|#TYPE [^\r\n]*)(?:\r\n|\r|\n)", re.IGNORECASE)
"""What Excel understands, and PowerShell's Export-Csv writes, before the heading."""


class Record(NamedTuple):
    """A row, and the bytes of the file that hold it."""

    start: int
    end: int
    cells: list[str]


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str
    encoding: str = "utf-8"
    """A codec that knows no byte order mark."""
    start: int = 0
    """The byte that the first record begins at."""
    by_newline: bool = True
    """Lines end in a newline byte, and not in carriage returns alone or in UTF-16."""


def sniff_table(
    path: Path, usual: str, score: Callable[[Sequence[list[str]]], int] = lambda _: 0
) -> tuple[Dialect, list[list[str]]]:
    """How a table is written, and its first records.

    Args:
        usual: the delimiter that its name promises, taken where no other makes more sense.
        score: how much sense some records make to the caller, the more the better.

    Raises:
        FileRefusedError: it is no regular file, or no text.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD)
        is_all = file.tell() == os.fstat(file.fileno()).st_size
    if (kind := binary_kind(head)) is not None:
        raise FileRefusedError(path, f"is no table but {kind}")
    encoding, start = _codec(head)
    text = head[start:].decode(encoding, "replace")
    delimiter = ""
    while preamble := _PREAMBLE.match(text):
        delimiter = preamble["delimiter"] or delimiter
        start += len(preamble.group().encode(encoding))
        text = text[preamble.end() :]
    by_newline = encoding == "utf-8" and ("\n" in text or "\r" not in text)
    found = {each: _sample(text, each, is_all) for each in ([delimiter] if delimiter else DELIMITERS)}

    def merit(each: str) -> tuple[int, bool, bool, int]:
        cells = _usual_cells(found[each])
        return score(found[each]), cells > 1, each == usual, cells

    best = max(found, key=merit)
    if not delimiter and merit(best)[:2] == (0, False):
        best = usual
    return Dialect(best, encoding, start, by_newline), found[best]


def read_records(path: Path, dialect: Dialect) -> Iterator[Record]:
    """The rows that are not blank. Bytes that are no text become lone surrogates: they may be a file's name.

    Raises:
        csv.Error: it is no table, or beyond the bounds.
        FileRefusedError: it is no regular file, or no text of its encoding.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        lines = _CountedLines(path, file, dialect)
        reader = _reader(iter(lines), dialect.delimiter)
        while True:
            start = lines.taken
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise csv.Error(f"{error}, at byte {start}") from None
            if cells:
                yield Record(start, lines.taken, cells)


def read_record(path: Path, start: int, end: int, dialect: Dialect) -> list[str]:
    """The cells of a row that `read_records` found; none where the file has changed.

    Raises:
        csv.Error: these bytes are no row.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        file.seek(start)
        text = file.read(end - start).decode(dialect.encoding, "replace")
    return next(_reader(iter(io.StringIO(text, newline="")), dialect.delimiter), [])


class _CountedLines:
    """A file's lines as text with their ends, and at which byte the next one begins."""

    def __init__(self, path: Path, file: BinaryIO, dialect: Dialect) -> None:
        self._path, self._file, self._dialect = path, file, dialect
        self._delimiter = dialect.delimiter.encode()
        self.taken = dialect.start

    def __iter__(self) -> Iterator[str]:
        self._file.seek(self._dialect.start)
        return self._by_newline() if self._dialect.by_newline else self._by_any_end()

    def _by_newline(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE + 1):
            self._check(len(line), line.count(self._delimiter))
            self.taken += len(line)
            yield line.decode("utf-8", "surrogateescape")

    def _by_any_end(self) -> Iterator[str]:
        encoding = self._dialect.encoding
        errors = "surrogateescape" if encoding == "utf-8" else "strict"
        with io.TextIOWrapper(self._file, encoding, errors, newline="") as text:
            try:
                while line := text.readline(LONGEST_LINE + 1):
                    self._check(len(line), line.count(self._dialect.delimiter))
                    self.taken += len(line.encode(encoding, errors))
                    yield line
            except UnicodeError:
                reason = f"is not {encoding.upper()} text, behind byte {self.taken}"
                raise FileRefusedError(self._path, reason) from None

    @staticmethod
    def _check(length: int, delimiters: int) -> None:
        if length > LONGEST_LINE:
            raise csv.Error(f"a line has over {LONGEST_LINE} bytes")
        if delimiters > MOST_CELLS:
            raise csv.Error(f"a line has over {MOST_CELLS} cells")


def _codec(head: bytes) -> tuple[str, int]:
    """A codec that knows no byte order mark, and how many bytes the mark has."""
    encoding = text_encoding(head)
    if encoding not in _MARKS:
        return encoding, 0
    codec, length = _MARKS[encoding]
    order = "le" if head.startswith(b"\xff\xfe") else "be"
    return codec or f"{encoding}-{order}", length


def _sample(text: str, delimiter: str, is_all: bool) -> list[list[str]]:
    """The first records; the last may be cut off, and is left out where another is there."""
    found: list[list[str]] = []
    reader = _reader(iter(io.StringIO(_DATA_URL.sub("data:image/", text), newline="")), delimiter)
    try:
        for cells in reader:
            if cells:
                found.append(cells[:MOST_CELLS])
            if len(found) > _SAMPLE:
                break
    except csv.Error:  # as it will be said when it is read
        pass
    return found if is_all or len(found) == 1 else found[:-1]


def _usual_cells(records: Sequence[list[str]]) -> int:
    """How many cells nearly all records have; 0 where they differ."""
    if not records:
        return 0
    ((cells, count),) = Counter(map(len, records)).most_common(1)
    return cells if count >= _SAME_LENGTH * len(records) else 0


def _reader(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_CELL)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")
