"""Opens files that a stranger may have made, for what a checkpoint can be made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vfnet_client.bounded_files import FileRefusedError, open_regular, read_text
from vfnet_model.checkpoints.errors import CheckpointError


@contextmanager
def open_input(path: Path, limit: int, expected: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a link to one is followed, a pipe or a device refused.

    Args:
        limit: the most bytes the file may have.
        expected: what it should be, for messages.

    Raises:
        CheckpointError: it is not there, no regular file, too large, or cannot be read.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        raise _refusal(path, error, expected) from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise CheckpointError(f"{path} has {size:,} bytes; at most {limit:,} are read of {expected}")
        yield file


def read_input_text(path: Path, limit: int, expected: str) -> str:
    """The whole of a text file of at most `limit` bytes, without its byte order mark.

    Raises:
        CheckpointError: as `open_input`, or it is no text of Unicode.
    """
    try:
        return read_text(path, limit)
    except OSError as error:
        raise _refusal(path, error, expected) from None


def _refusal(path: Path, error: OSError, expected: str) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"there is no file {path}")
    if path.is_dir():
        return CheckpointError(f"{path} is a directory; expected is {expected}")
    if isinstance(error, FileRefusedError):
        return CheckpointError(f"{path} {error.strerror}; expected is {expected}")
    return CheckpointError(f"{path} cannot be read: {error.strerror}")
