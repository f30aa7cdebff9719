"""Places in the ensemble, counted over all its steps.

`vfnet_preprocess` takes a ticket for an image before it decodes it, `vfnet_postprocess` gives it back. The tickets that
are out stand in one small file that the model processes of one server share: in $VFNET_ACTIVITY_DIR under `vfnet
serve`, else in /dev/shm. An image that fails, or is cancelled, between the two never gives its ticket back, so a ticket
that is out for much longer than others lately were is void.
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
_HEADER = np.dtype([("newest", "<i8"), ("slowest", "<f8")])
"""The newest ticket, and about the most seconds that one was out, of late."""
SIZE = _HEADER.itemsize + 8 * SLOTS
_FADING = 0.95
"""What is left of `slowest` with every ticket that comes back sooner."""


class TicketLedger:
    """The tickets that are out. One object per process, used by one thread.

    A ticket is the time at which it was taken, nanoseconds of CLOCK_MONOTONIC.

    Args:
        path: shared by all who count together.
        lifetime: seconds after which a ticket is void at the latest.
    """

    def __init__(self, path: Path, lifetime: float = 60.0) -> None:
        self.path, self.lifetime = path, lifetime
        self._file = _open_shared(path)
        self._map = mmap.mmap(self._file, SIZE)
        self._header = np.frombuffer(self._map, _HEADER, 1)
        self._slots = np.frombuffer(self._map, np.int64, SLOTS, _HEADER.itemsize)

    def take(self, capacity: int) -> int | None:
        """A ticket, unless `capacity` are out."""
        if self.count() >= capacity and not self._find_void().any():
            return None  # without the lock: who waits asks often
        with self._locked():
            self._slots[self._find_void()] = 0
            free = np.flatnonzero(self._slots == 0)
            if SLOTS - len(free) >= capacity or not len(free):
                return None
            ticket = max(time.monotonic_ns(), int(self._header["newest"][0]) + 1)
            self._header["newest"] = self._slots[free[0]] = ticket
            return ticket

    def give_back(self, ticket: int) -> None:
        """Another image may come in. A ticket that is void by now frees no place, but tells how long images take."""
        with self._locked():
            self._slots[self._slots == ticket] = 0
            if 0 < ticket <= int(self._header["newest"][0]):
                seconds = min((time.monotonic_ns() - ticket) / 1e9, self.lifetime)
                self._header["slowest"] = max(seconds, _FADING * float(self._header["slowest"][0]))

    def count(self) -> int:
        """Tickets that are out, void ones included."""
        return int(np.count_nonzero(self._slots))

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

    def _find_void(self) -> NDArray[Any]:
        """bool [SLOTS]."""
        slowest = float(self._header["slowest"][0])  # 0: none has come back yet
        patience = min(1.5 * slowest + 0.25, self.lifetime) if slowest else self.lifetime
        return (self._slots > 0) & (self._slots < time.monotonic_ns() - int(1e9 * patience))

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
