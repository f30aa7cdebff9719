"""Places in the ensemble, counted over all its steps.

`vfnet_preprocess` takes a ticket for an image before it decodes it, `vfnet_detector` notes when it begins with the
image and when it is done, `vfnet_postprocess` gives the ticket back. The tickets that are out stand in one small file
that the model processes of one ensemble share: in $VFNET_ACTIVITY_DIR under `vfnet serve`, else in /dev/shm. Whoever
replaces a model process writes the time into the file's first eight bytes, which makes the tickets of before void; more
of its layout is known in this module only.

An image may be lost on its way from one step to the next: its caller cancels, or calls `vfnet_preprocess` alone and
keeps the ticket. Between preprocessing and the detector such a ticket is void as soon as the detector has shown that
nothing waits for it; after the detector, when postprocessing should long have begun. Void too early is no harm: one
image more is let in.

A ticket is a random number. What is no ticket that is out, because it is forged, void or back already, changes nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PLACES = 1024
"""More images than this are never in the ensemble at once."""
NOTES = 10
"""Numbers that may be noted of an image."""
_DETECTORS = 64
"""Processes of the detector that can tell what they do; more do not."""
LAYOUT = np.dtype(
    [
        # Tickets taken before are void.
        ("void_before", "<i8"),
        # See `TicketLedger.slowest`.
        ("slowest", "<f8"),
        # When a detector last found nothing more waiting for it.
        ("queue_empty", "<i8"),
        # `idle_since` is 0 while a process is at work.
        ("detectors", [("process", "<i8"), ("idle_since", "<i8")], _DETECTORS),
        # Of each place. One without a ticket is free. Apart from all else, for they are searched often.
        ("tickets", "<i8", PLACES),
        # Of whoever has the place: see `note`.
        ("stages", "<i8", PLACES),
        ("since", "<i8", PLACES),
        ("taken", "<i8", PLACES),
        ("notes", "<i8", (PLACES, NOTES)),
    ]
)
"""Of the file. Times are nanoseconds of CLOCK_MONOTONIC."""
_PREPARING, _WAITING, _DETECTING, _DETECTED = range(4)
"""The stages of an image: in preprocessing; on its way to the detector; in there; on its way to the answer."""
_HANDOVER_SECONDS = 0.25
"""What Triton may take to hand an image to a detector that has nothing else to do."""
_POSTPROCESS_SECONDS = 0.5
"""What postprocessing, milliseconds an image, may take, the queue before it included."""
_FADING = 0.95
"""What is left of `slowest` with every ticket that comes back sooner."""


class Ages(NamedTuple):
    """How long an image has been where it is, in seconds."""

    in_stage: float
    """In preprocessing, on its way to the detector, in there, or on its way to the answer."""
    inside: float
    """In the ensemble."""


class TicketLedger:
    """The tickets that are out. One object per process; for several threads.

    Args:
        path: shared by all who count together.
        lifetime: seconds after which a ticket is void at the latest.
    """

    def __init__(self, path: Path, lifetime: float = 60.0) -> None:
        self.path, self.lifetime = path, lifetime
        self._lock = threading.Lock()
        self._file = _open_shared(path)
        self._map = mmap.mmap(self._file, LAYOUT.itemsize)
        self._ledger = np.frombuffer(self._map, LAYOUT, 1)
        self._detectors, self._tickets = self._ledger["detectors"][0], self._ledger["tickets"][0]
        self._stages, self._since, self._taken = (self._ledger[name][0] for name in ("stages", "since", "taken"))
        self._notes = self._ledger["notes"][0]

    def take(self, capacity: int) -> int | None:
        """A ticket, unless `capacity` are out."""
        if np.count_nonzero(self._tickets) >= capacity and self.count() >= capacity:
            return None  # without the lock: who waits asks often
        with self._locked():
            if np.count_nonzero(self._tickets) >= capacity:
                taken, is_out = self._find_out()
                self._tickets[taken[~is_out]] = 0
            free = int(self._tickets.argmin())
            if np.count_nonzero(self._tickets) >= min(capacity, PLACES):
                return None
            ticket, now = secrets.randbelow(2**63 - 1) + 1, time.monotonic_ns()
            self._notes[free] = 0
            self._stages[free], self._since[free], self._taken[free] = _PREPARING, now, now
            self._tickets[free] = ticket
            return ticket

    def pass_on(self, ticket: int) -> None:
        """The image is preprocessed, and the detector's next."""
        with self._locked():
            self._enter(ticket, _PREPARING, _WAITING)

    def begin_batch(self, tickets: Sequence[int], is_full: bool) -> frozenset[int]:
        """A detector takes what waits; the tickets that are the detector's from now on.

        Args:
            tickets: of the images that it took; 0 where there is none.
            is_full: whether there was room for no more of them, so that others may still wait.
        """
        with self._locked():
            self._report(idle_since=0)
            if not is_full:
                self._ledger["queue_empty"] = time.monotonic_ns()
            return frozenset(ticket for ticket in tickets if self._enter(ticket, _WAITING, _DETECTING))

    def end_batch(self) -> None:
        """The detector of this process waits for images. Called before its first batch, too."""
        with self._locked():
            self._report(idle_since=time.monotonic_ns())

    def leave_detector(self, ticket: int) -> None:
        """The detector is done with an image, which goes on; `give_back` where it does not."""
        with self._locked():
            self._enter(ticket, _DETECTING, _DETECTED)

    def give_back(self, ticket: int) -> None:
        """Another image may come in."""
        with self._locked():
            if (place := self._find(ticket)) is not None:
                seconds = min((time.monotonic_ns() - int(self._taken[place])) / 1e9, self.lifetime)
                self._ledger["slowest"] = max(seconds, _FADING * self.slowest())
                self._tickets[place] = 0

    def note(self, ticket: int, first: int, numbers: Sequence[int]) -> None:
        """Have other processes know these of an image, from the `first` of `NOTES` on, while its ticket is out."""
        if (place := self._find(ticket)) is not None:
            self._notes[place, first : first + len(numbers)] = numbers

    def notes(self, ticket: int) -> list[int]:
        """All `NOTES` of an image; 0 where nothing was noted."""
        place = self._find(ticket)
        return [0] * NOTES if place is None else [int(number) for number in self._notes[place]]

    def ages(self, ticket: int) -> Ages | None:
        """How long the image has been where it is; None: the ticket is not out."""
        if (place := self._find(ticket)) is None:
            return None
        now = time.monotonic_ns()
        return Ages((now - int(self._since[place])) / 1e9, (now - int(self._taken[place])) / 1e9)

    def slowest(self) -> float:
        """About the most seconds that a ticket was out, of late; 0: none has come back yet."""
        return float(self._ledger["slowest"][0])

    def count(self) -> int:
        """Tickets that are out and not void."""
        return int(np.count_nonzero(self._find_out()[1]))

    def close(self) -> None:
        """Leave; the last one removes the file."""
        with self._locked():
            self._detectors[self._detectors["process"] == os.getpid()] = (0, 0)
        del self._ledger, self._detectors, self._tickets, self._stages, self._since, self._taken, self._notes
        self._map.close()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)
        except BlockingIOError:
            pass  # others still count there
        os.close(self._file)

    def _find(self, ticket: int) -> int | None:
        if ticket < 1:
            return None
        found = np.flatnonzero(self._tickets == ticket)
        return int(found[0]) if len(found) else None

    def _enter(self, ticket: int, stage: int, following: int) -> bool:
        """Whether the ticket is out, and was in this stage until now."""
        place = self._find(ticket)
        if place is None or self._stages[place] != stage:
            return False
        self._stages[place], self._since[place] = following, time.monotonic_ns()
        return True

    def _report(self, idle_since: int) -> None:
        """Note what this process, a detector's, does."""
        processes = self._detectors["process"]
        own = np.flatnonzero(processes == os.getpid())
        if not len(own):
            for record in np.flatnonzero(processes):  # this one may be there because another died
                if not Path(f"/proc/{processes[record]}").exists():
                    self._detectors[record] = (0, 0)
            own = np.flatnonzero(processes == 0)
        if len(own):
            self._detectors[own[0]] = (os.getpid(), idle_since)

    def _find_out(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Places with a ticket, int64 [n], and whether it is not void, bool [n]."""
        places = np.flatnonzero(self._tickets)
        now = time.monotonic_ns()
        stage, since, taken = self._stages[places], self._since[places], self._taken[places]
        if (self._detectors["process"] != 0).any():
            is_lost = (stage == _WAITING) & (since < self._nothing_waits_since(now) - _nanoseconds(_HANDOVER_SECONDS))
            is_lost |= (stage == _DETECTED) & (since < now - _nanoseconds(_POSTPROCESS_SECONDS))
        else:  # one of Triton's own backends: nobody knows where an image is, only how long others took
            slowest = self.slowest()
            patience = 1.5 * slowest + 0.25 if slowest else self.lifetime
            is_lost = (stage == _WAITING) & (taken < now - _nanoseconds(patience))
        is_lost |= taken < max(int(self._ledger["void_before"][0]), now - _nanoseconds(self.lifetime))
        return places, ~is_lost

    def _nothing_waits_since(self, now: int) -> int:
        """The last time at which a detector had all that had reached it."""
        idle_since = self._detectors["idle_since"][self._detectors["idle_since"] > 0]
        if len(idle_since) and now - int(idle_since.min()) > _nanoseconds(_HANDOVER_SECONDS):
            return now
        return int(self._ledger["queue_empty"][0])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Both: a file's lock is the process's, not the thread's. Of another kind than flock's: the two do not meet.
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)


def _nanoseconds(seconds: float) -> int:
    return round(1e9 * seconds)


def ledger_path(model: str) -> Path:
    """The file of the server that started this process, for one ensemble of it.

    Args:
        model: the name of one of its steps, which is the ensemble's with the step's after it.
    """
    ensemble = model.rpartition("_")[0]
    if directory := os.environ.get("VFNET_ACTIVITY_DIR"):
        return Path(directory) / f"tickets-{ensemble}"
    server = os.getppid()
    # Containers may share /dev/shm, and their servers the process number.
    started = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[19]
    return Path("/dev/shm") / f"vfnet-tickets-{server}-{started}-{ensemble}"


def _open_shared(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_SH)  # held while the file is in use
        try:
            if path.stat().st_ino == os.fstat(file).st_ino:
                os.ftruncate(file, LAYOUT.itemsize)
                return file
        except FileNotFoundError:
            pass
        os.close(file)  # the last one of before has just removed it
