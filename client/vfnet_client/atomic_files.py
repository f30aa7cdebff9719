"""Files that appear whole or not at all, and are never written through a link that somebody put in their place.

A file that a person names on a command line (`--json FILE`) may be a link, a pipe or a device: `write_whole` follows
it. What we name ourselves, inside an output folder, a state folder or a cache, is ours: a link, a pipe or a device of
that name is replaced (`write_inside`, `durable_file`) or refused (`open_inside`, `locked_file`, `make_folder_inside`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PART = ".part"
_MOST_NAME_BYTES = 255
"""Of one name, on every file system of Linux."""
_ROOM_FOR_A_PART = 32
"""Bytes that the names of unfinished files have more."""


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, then rename: whoever looks sees the old file or the new one, never half of it.

    A link is followed; a device or a pipe, which cannot be renamed over, is written to. For a file that a person named.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    write_inside(path, content)


def write_inside(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """As `write_whole`, for a file whose name is ours: a link is replaced by the file, and what it points to left.

    Args:
        mode: of the file; None keeps that of the one it replaces, or takes what the umask gives. With 0o600 nobody else
            can read it at any moment.
    """
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{fitting_name(path.name, '', 100)}.")  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(beside).chmod(_new_file_mode(path) if mode is None else mode)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Write beside, flush to the disk, then rename: the old file or the new one, also after a kill or a power cut.

    A link at `path` is replaced by the file. What could not be written whole is removed; what a killed process left,
    `remove_unfinished` removes.
    """
    part = path.with_name(f".{path.name}{_PART}")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(_open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """What killed writers of `durable_file` left."""
    for part in folder.glob(f".*{_PART}"):
        part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_inside(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file whose name is ours for writing, made where it is missing; emptied unless `append`.

    Raises:
        OSError: it is a link, a pipe, a device or a folder.
    """
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0))
    if not append:
        os.ftruncate(descriptor, 0)  # not before it is known to be a file of its own
    return os.fdopen(descriptor, "ab" if append else "wb")


@contextmanager
def locked_file(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing; its content is left as it is.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
        OSError: it is a link, a pipe, a device or a folder.
    """
    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def make_folder_inside(folder: Path) -> None:
    """Make a folder in an output folder, or find it there.

    Raises:
        OSError: the name is taken by a file, or by a link: writing would happen elsewhere.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise OSError(errno.ENOTDIR, "is a link or a file where a folder of ours should be", str(folder)) from None


def fitting_name(stem: str, suffix: str, most_bytes: int = _MOST_NAME_BYTES - _ROOM_FOR_A_PART) -> str:
    """A file's name of at most so many bytes: as much of `stem`, in whole characters, as leaves room for `suffix`."""
    room = most_bytes - len(os.fsencode(suffix))
    while len(encoded := os.fsencode(stem)) > room:
        # At least a byte over; a character has four at most.
        stem = stem[: len(stem) - max(1, (len(encoded) - room) // 4)]
    return stem + suffix


def _open(path: Path, flags: int) -> int:
    """A descriptor of a regular file that is not reached through a link of that name."""
    try:
        # Without O_NONBLOCK a pipe without a reader would hold us up.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, and is not written through: remove it", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a file that can be written to: remove it", str(path))
    return descriptor


def _new_file_mode(path: Path) -> int:
    """What `open(path, "w")` would have left: the old file's mode, or the umask's."""
    if path.is_file() and not path.is_symlink():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
