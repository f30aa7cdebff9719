"""Memory that a large image took and no longer needs: back to the system.

glibc keeps what is freed in pieces below its own threshold, which rises to 32 MiB with what is allocated.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def private_bytes() -> int:
    """What this process has in memory, what it shares with others left out."""
    _, resident, shared, *_ = _STATM.read_bytes().split()
    return (int(resident) - int(shared)) * _PAGE


class FreedMemory:
    """Of one process."""

    def __init__(self, allowed: int = 2**27) -> None:
        """Call it when the process has what it needs. `allowed` bytes more are kept, for the next image needs some."""
        self._allowed = allowed
        self._limit = private_bytes() + allowed
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone

    def give_back(self) -> None:
        """Give it back if it has become much: else this costs microseconds."""
        if self._trim is not None and private_bytes() > self._limit:
            self._trim(0)
            self._limit = private_bytes() + self._allowed
