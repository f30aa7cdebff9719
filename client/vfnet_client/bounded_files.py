"""Files that somebody else wrote, read within bounds: regular files only, never more than so many bytes, any text.

Opening never waits: a pipe that nobody writes to, a device or a socket is refused by name. Links are followed; one
that leads nowhere or in a circle is an error like any other.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_MARK = 4


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
    """The text of a file of at most `limit` bytes: UTF-8, or UTF-16 or UTF-32 that says so by its first bytes.

    Raises:
        FileRefusedError: it is no regular file, larger, or no such text.
        OSError: it cannot be read.
    """
    content = read_file(path, limit)
    encoding = _encoding(content[:_LONGEST_MARK])
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileRefusedError(path, f"is not {_said(encoding)} text: byte {error.start} is none of it") from None


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
        encoding = _encoding(file.read(_LONGEST_MARK))
        file.seek(0)
        number = 0
        with io.TextIOWrapper(file, encoding, errors) as text:
            try:
                while line := text.readline(longest + 1):
                    number += 1
                    if len(line) > longest:
                        raise FileRefusedError(path, f"has a line of over {longest} characters, line {number}")
                    yield line
            except UnicodeError:
                raise FileRefusedError(path, f"is not {_said(encoding)} text, near line {number + 1}") from None


def is_regular(path: Path) -> bool:
    """Whether it is a file that `open_regular` would open; also False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name that is too long, or a link in a circle
        return False


def _encoding(start: bytes) -> str:
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8")


def _said(encoding: str) -> str:
    return encoding.removesuffix("-sig").upper()


def _too_large(path: Path, limit: int) -> FileRefusedError:
    size = f"{limit / 2**20:.4g} MiB" if limit >= 2**20 else f"{limit} bytes"
    return FileRefusedError(path, f"is larger than {size}")
