"""Opens files that a stranger may have made: ordinary ones only, and no larger than what they can be good for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from vfnet_build.checkpoints.errors import CheckpointError


@contextmanager
def open_input(path: Path, limit: int, expected: str) -> Iterator[BufferedReader]:
    """Open an ordinary file for reading; a link to one is followed.

    Pipes and devices are refused, because reading them may never end.

    Args:
        limit: the most bytes the file may have.
        expected: what it should be, for the message about a folder.

    Raises:
        CheckpointError: it is not there, no ordinary file, too large, or cannot be read.
    """
    try:
        # Not blocking: opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in its name
        raise CheckpointError(f"{str(path)!r} cannot be read: {error}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        what = "directory" if stat.S_ISDIR(found.st_mode) else "pipe or a device"
        raise CheckpointError(f"{path} is a {what}; expected is {expected}")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > limit:
            raise CheckpointError(f"{path} has {found.st_size:,} bytes; at most {limit:,} are read of {expected}")
        yield file


def read_input_text(path: Path, limit: int, expected: str) -> str:
    """The whole of a UTF-8 text file, without its byte order mark.

    Raises:
        CheckpointError: as `open_input`, or it is no UTF-8.
    """
    with open_input(path, limit, expected) as file:
        content = file.read(limit + 1)
    if len(content) > limit:  # it has grown since
        raise CheckpointError(f"{path} has more than {limit:,} bytes; at most as many are read of {expected}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from None
