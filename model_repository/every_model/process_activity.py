"""A model process tells what it is doing, so that `vfnet serve` can replace it when it hangs.

One file per process, in the folder $VFNET_ACTIVITY_DIR, named after its process number: two native
doubles, the number of requests at work and when (CLOCK_MONOTONIC seconds) one last began or ended.
Without the variable, under a stock server, nothing is written.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RECORD = struct.Struct("=dd")


class ProcessActivity:
    """This process's record."""

    def __init__(self, directory: str | None = os.environ.get("VFNET_ACTIVITY_DIR")) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._map: mmap.mmap | None = None
        if directory:
            path = Path(directory) / str(os.getpid())
            path.write_bytes(RECORD.pack(0, time.monotonic()))
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), RECORD.size)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around the work on one request."""
        self.change(+1)
        try:
            yield
        finally:
            self.change(-1)

    def answer_each(self, requests: list[Any], answer: Callable[[Any], Any]) -> list[Any]:
        """One response per request, in their order; each request is work of its own."""
        responses = []
        for request in requests:
            with self.working():
                responses.append(answer(request))
        return responses

    def change(self, by: int) -> None:
        """`by` requests more (or, negative, fewer) are at work."""
        with self._lock:
            self._at_work += by
            if self._map is not None:
                RECORD.pack_into(self._map, 0, self._at_work, time.monotonic())
