"""What the model processes say of themselves: process_activity.py and tickets.py of `vfnet_runtime`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_RECORD = struct.Struct("=dd")
_VOID_BEFORE = struct.Struct("=q")
"""What the file of tickets begins with."""


@dataclass(frozen=True)
class ActivityRecord:
    """One process's record."""

    at_work: int
    """Requests it is working on."""
    changed: float
    """When one of them last began or ended, in seconds of `time.monotonic`."""


def read_record(directory: Path, pid: int) -> ActivityRecord | None:
    """The record of process `pid`; None while it is still starting."""
    try:
        file = os.open(f"{directory}/{pid}", os.O_RDONLY | os.O_CLOEXEC)  # no `Path`: read many times a second
    except OSError:
        return None
    try:
        at_work, changed = _RECORD.unpack(os.read(file, _RECORD.size))
    except (OSError, struct.error):
        return None
    finally:
        os.close(file)
    return ActivityRecord(int(at_work), changed)


def forget_record(directory: Path, pid: int) -> None:
    """Process `pid` is gone."""
    (directory / str(pid)).unlink(missing_ok=True)


def void_tickets(directory: Path, ensemble: str) -> None:
    """All images in the ensemble are taken for lost; those that are not change nothing when they come out."""
    with contextlib.suppress(FileNotFoundError), (directory / f"tickets-{ensemble}").open("r+b") as ledger:
        fcntl.lockf(ledger, fcntl.LOCK_EX)  # let go when it is closed
        ledger.write(_VOID_BEFORE.pack(time.monotonic_ns()))
