"""Files that somebody else wrote, read within bounds: regular files only, never more than so many bytes, any text.

Opening never waits: a pipe that nobody writes to, a device or a socket is refused by name. Links are followed; one
that leads nowhere or in a circle is an error like any other.

Every text file that a person may write is read here (tables by `bounded_tables`): as Notepad, Excel, PowerShell and
editors save it. What cannot be told is refused by the name of what it looks like, never guessed.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vfnet_images.kinds import kind_of

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 4096
"""Bytes by which an encoding is told."""
_MOST_BINARY_SHARE = 0.05
_BINARY = (
    (b"PK\x03\x04", "a ZIP archive, as Excel's workbooks are: save a sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save a sheet as CSV"),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite database"),
)
"""How files begin that people take for text by mistake, beside pictures, and what they are."""
_HIGH = re.compile(rb"[\x80-\xff]+")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BEYOND_TEXT = re.compile(rb"[\x00-\x08\x80-\xff]")


class FileRefusedError(OSError):
    """A file that is not read. `strerror` says why, as of any other OSError, and `filename` which."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without waiting for anything.

    Raises:
        FileRefusedError: it is a folder, a pipe, a device or a socket, or no name of a file.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a null byte in the name, or a lone surrogate
        raise FileRefusedError(path, "has a name that no file can have") from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # what opening a socket says
            raise FileRefusedError(path, "is not a regular file") from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise FileRefusedError(path, "is a folder" if stat.S_ISDIR(mode) else "is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes, whatever its size is said to be.

    Raises:
        FileRefusedError: it is none, or larger.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _too_large(path, limit)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_text(path: Path, limit: int) -> str:
    """The text of a file of at most `limit` bytes, lines ending in newlines, whichever way they were saved.

    It is UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 that says so by its mark or, UTF-16, by the null
    bytes that every other of its bytes is.

    Raises:
        FileRefusedError: it is no regular file, larger, or no such text; it says what it looks like.
        OSError: it cannot be read.
    """
    return decode_text(path, read_file(path, limit))


def decode_text(path: Path, content: bytes) -> str:
    """The text that the content of a file is, as `read_text` has it.

    Args:
        path: of the file, for messages.

    Raises:
        FileRefusedError: it is no such text.
    """
    encoding = text_encoding(content[:_HEAD])
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(path, content[:_HEAD], encoding, content, error.start) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def text_lines(path: Path, longest: int, errors: str = "strict") -> Iterator[str]:
    """The lines of a text of any length, each with its end, which is always a newline.

    Args:
        path: encodings as `read_text` takes them; lines may end as on Unix, Windows and old Macs.
        longest: characters of a line.
        errors: of the decoder, such as `surrogateescape` where a line may be a file's name.

    Raises:
        FileRefusedError: it is no regular file, has a longer line, or is no such text.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD)
        encoding = text_encoding(head)
        if errors != "strict" and binary_kind(head) is not None:
            raise _not_text(path, head, encoding)
        file.seek(0)
        number = 0
        with io.TextIOWrapper(file, encoding, errors) as text:
            try:
                while line := text.readline(longest + 1):
                    number += 1
                    if len(line) > longest:
                        raise FileRefusedError(path, f"has a line of over {longest} characters, line {number}")
                    yield line
            except UnicodeDecodeError as error:
                # Of the chunk that was read together, which begins at some byte of the file.
                raise _not_text(path, head, encoding, bytes(error.object), error.start, number) from None
            except UnicodeError:
                raise _not_text(path, head, encoding) from None


def is_regular(path: Path) -> bool:
    """Whether it is a file that `open_regular` would open; also False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name that is too long, or a link in a circle
        return False


def text_encoding(head: bytes) -> str:
    """The codec by which a text that begins so is read: by its byte order mark, by its null bytes, else UTF-8.

    UTF-16 without a mark, as PowerShell and databases write it, has a null byte in every pair that is ASCII.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    if pairs:
        first, second = head[: 2 * pairs : 2].count(0) / pairs, head[1 : 2 * pairs : 2].count(0) / pairs
        if min(first, second) <= _MOST_BINARY_SHARE and max(first, second) > 0.5:
            return "utf-16-le" if second > first else "utf-16-be"
    return "utf-8"


def binary_kind(head: bytes) -> str | None:
    """What a file is that begins so and is no text, in words; None where it may be one."""
    if not _BEYOND_TEXT.search(head):  # a list may begin with a file called GIF8.jpg
        return None
    if (picture := kind_of(head)) is not None:
        return f"a {picture.name} picture"
    return next((kind for start, kind in _BINARY if head.startswith(start)), None)


def _not_text(
    path: Path, head: bytes, encoding: str, content: bytes = b"", position: int = 0, lines_before: int | None = None
) -> FileRefusedError:
    """Why a file is no text, and what it looks like.

    Args:
        content: where it failed, all of the file or a part of it.
        position: of the first byte that is none of the encoding, in `content`.
        lines_before: how many lines end before `content`, where that is a part; None: it is all of the file.
    """
    if (kind := binary_kind(head)) is not None:
        return FileRefusedError(path, f"is no text but {kind}")
    said = f"is not {encoding.removesuffix('-sig').upper()} text"
    if not content:
        return FileRefusedError(path, said)
    line = (lines_before or 0) + len(_LINE_END.findall(content, 0, position)) + 1
    said += f": byte {position}, in line {line}, is none of it" if lines_before is None else f", near line {line}"
    if encoding.startswith("utf-8"):
        looks = "Latin-1 (Windows-1252)" if _is_latin(content) else "text of another encoding, or no text"
        said += f"; it looks like {looks}: save it as UTF-8"
    return FileRefusedError(path, said)


def _is_latin(content: bytes) -> bool:
    """Whether bytes beyond ASCII stand alone, as accented letters do among others; Chinese and Russian come in rows."""
    high = [match.group() for match in _HIGH.finditer(content[: 1 << 20])]
    letters = [run for run in high if len(run) <= 2 and min(run) >= 0xC0]
    return bool(high) and len(letters) >= 0.8 * len(high)


def _too_large(path: Path, limit: int) -> FileRefusedError:
    size = f"{limit / 2**20:.4g} MiB" if limit >= 2**20 else f"{limit} bytes"
    return FileRefusedError(path, f"is larger than {size}")
