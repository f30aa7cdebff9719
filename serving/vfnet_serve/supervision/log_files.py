"""Logs that grow at their end, over restarts, up to a size: then the older part goes into a file beside, and so on."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

MAX_BYTES = 16 * 2**20
KEPT = 3
"""Older parts: `server.log.1`, the newest of them, to `server.log.3`."""


def rotate_if_large(log: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move what a log holds into `log.1` if it is larger than that; whether it was.

    Who writes has the file open, and goes on at its beginning: it has to have opened it for appending. Lines that are
    written in that very moment may be lost.
    """
    try:
        if log.stat().st_size <= max_bytes:
            return False
        for number in range(KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _part(log, number).replace(_part(log, number + 1))
        try:
            shutil.copyfile(log, _part(log, 1))
        except OSError:  # a full disk: what is full of this log is to become free
            _part(log, 1).unlink(missing_ok=True)
        os.truncate(log, 0)
        return True
    except OSError:
        return False


def tail(log: Path, start: int = 0, max_bytes: int = 4096) -> str:
    """The last lines of what was written since the file was `start` bytes long."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(start if start <= size else 0, size - max_bytes)
            file.seek(begin)
            text = file.read(max_bytes).decode(errors="replace")
    except OSError:
        return ""
    if begin > start:
        text = text.partition("\n")[2]
    return text.strip()


def size_of(log: Path) -> int:
    """Bytes; 0 where there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def append(log: Path, text: str) -> None:
    """Add to a log that another process may be writing to; nothing where that cannot be."""
    with contextlib.suppress(OSError), log.open("ab", buffering=0) as file:
        file.write(text.encode(errors="replace"))


def _part(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
