"""Whether Triton has given up on what a model process is working on.

Triton writes what it wants of a model process into a queue in shared memory, and writes nothing while the process
executes requests: it waits for the answer. Where the process has not run for a second it stops waiting, tells the
callers, frees the requests, and writes again. So a message that waits while requests are executed says that their
answer comes too late: it would be taken for that of the next requests, or name memory that is another's by now, and
Triton would die (tried with 2.51; the layout is the Python backend's, the same in 2.51 and in its main branch of 2026).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

_OWNERSHIP = 16
"""Bytes of the count of users before every object."""
_QUEUE_HANDLE = struct.Struct("=q")
_QUEUE_HANDLE_AT = _OWNERSHIP + 88
"""In the control block: five flags, two mutexes, then the handle."""
_COUNTERS = struct.Struct("=Qqii")
_COUNTERS_AT = _OWNERSHIP + 104
"""In the queue, after two semaphores and a mutex: its size, where its messages are, where the next goes and is."""
_MOST_MESSAGES = 1_000_000


class TritonQueue:
    """The queue of one model process, read only.

    Args:
        command: the process's arguments, its program's name first.

    Raises:
        OSError, ValueError: it is not there, or not where the Python backends known put it.
    """

    def __init__(self, command: Sequence[str], shared_memory: Path = Path("/dev/shm")) -> None:
        if len(command) < 9:
            raise ValueError("not the arguments of a model process")
        with (shared_memory / command[2]).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        control = int(command[7])
        try:
            (self._queue,) = _QUEUE_HANDLE.unpack_from(self._map, control + _QUEUE_HANDLE_AT)
            size, messages, _, _ = self._counters()
        except struct.error as error:
            raise ValueError("another layout") from error
        if not 0 < size < _MOST_MESSAGES or not 0 < messages < len(self._map):
            raise ValueError("another layout")

    def waiting(self) -> int:
        """Messages that the process has not taken yet."""
        size, _, head, tail = self._counters()
        return (head - tail) % size

    def close(self) -> None:
        """Let go of it."""
        self._map.close()

    def _counters(self) -> tuple[int, int, int, int]:
        size, messages, head, tail = _COUNTERS.unpack_from(self._map, self._queue + _COUNTERS_AT)
        return size, messages, head, tail
