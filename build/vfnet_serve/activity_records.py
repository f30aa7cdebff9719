"""What the model processes say of themselves; written by model_repository/every_model/process_activity.py."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_RECORD = struct.Struct("=dd")


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
        at_work, changed = _RECORD.unpack((directory / str(pid)).read_bytes())
    except (OSError, struct.error):
        return None
    return ActivityRecord(int(at_work), changed)


def forget_record(directory: Path, pid: int) -> None:
    """Process `pid` is gone."""
    (directory / str(pid)).unlink(missing_ok=True)
