"""Places in the ensemble, counted over all its steps.

`vfnet_preprocess` takes a ticket for an image before it decodes it, `vfnet_postprocess` gives it back. The tickets that
are out stand in one small file that the model processes of one server share: in $VFNET_ACTIVITY_DIR under `vfnet
serve`, else in /dev/shm. An image that fails, or is cancelled, between the two never gives its ticket back, so tickets
are also void when they are old, and when much younger ones have come back: the steps between keep their order, about.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOTS = 1024
"""More images than this are never in the ensemble at once."""
_SLOT = np.dtype([("number", "<i8"), ("taken", "<f8")])
_HEADER = np.dtype([("last_taken", "<i8"), ("newest_returned", "<i8")])
SIZE = _HEADER.itemsize + SLOTS * _SLOT.itemsize


class TicketLedger:
    """The tickets that are out. One object per process, used by one thread.

    Args:
        path: shared by all who count together.
        lifetime: seconds after which a ticket is void.
    """

    def __init__(self, path: Path, lifetime: float = 60.0) -> None:
        self.path, self.lifetime = path, lifetime
        self._file = _open_shared(path)
        self._map = mmap.mmap(self._file, SIZE)
        self._header = np.frombuffer(self._map, _HEADER, 1)
        self._slots = np.frombuffer(self._map, _SLOT, SLOTS, _HEADER.itemsize)

    def take(self, capacity: int) -> int | None:
        """A ticket, unless `capacity` are out."""
        if np.count_nonzero(self._slots["number"]) >= capacity and not self._find_void(capacity).any():
            return None  # without the lock: who waits asks often
        with self._locked():
            self._slots["number"][self._find_void(capacity)] = 0
            free = np.flatnonzero(self._slots["number"] == 0)
            if SLOTS - len(free) >= capacity or not len(free):
                return None
            number = int(self._header["last_taken"][0]) + 1
            self._header["last_taken"] = number
            self._slots[free[0]] = (number, time.monotonic())
            return number

    def give_back(self, ticket: int) -> None:
        """Another image may come in. A void or unknown ticket changes nothing."""
        with self._locked():
            self._slots["number"][self._slots["number"] == ticket] = 0
            last = int(self._header["last_taken"][0])
            self._header["newest_returned"] = max(int(self._header["newest_returned"][0]), min(ticket, last))

    def count(self) -> int:
        """Tickets that are out, void ones included."""
        return int(np.count_nonzero(self._slots["number"]))

    def close(self) -> None:
        """Leave; the last one removes the file."""
        del self._header, self._slots
        self._map.close()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)
        except BlockingIOError:
            pass  # others still count there
        os.close(self._file)

    def _find_void(self, capacity: int) -> NDArray[Any]:
        """bool [SLOTS]. Of `capacity` younger tickets none can still be out when one as young as this has come back."""
        number, taken = self._slots["number"], self._slots["taken"]
        overtaken = number <= int(self._header["newest_returned"][0]) - 2 * capacity
        return (number > 0) & (overtaken | (taken < time.monotonic() - self.lifetime))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX)  # of another kind than flock's: the two do not see each other
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def ledger_path() -> Path:
    """The file of the server that started this process."""
    if directory := os.environ.get("VFNET_ACTIVITY_DIR"):
        return Path(directory) / "tickets"
    server = os.getppid()
    # Containers may share /dev/shm, and their servers the process number.
    started = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[19]
    return Path("/dev/shm") / f"vfnet-tickets-{server}-{started}"


def _open_shared(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_SH)  # held while the file is in use
        try:
            if path.stat().st_ino == os.fstat(file).st_ino:
                os.ftruncate(file, SIZE)
                return file
        except FileNotFoundError:
            pass
        os.close(file)  # the last one of before has just removed it
