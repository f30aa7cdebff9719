"""A model process tells what it is doing, so that `vfnet serve` can replace it when it hangs.

One file per process, in the folder $VFNET_ACTIVITY_DIR, named after its process number: two native
doubles, the number of requests at work and when (CLOCK_MONOTONIC seconds) one last began or ended.
Without the variable, under a stock server, nothing is written.

And it never answers late: see triton_queue.py. A process that was stopped, swapped out or on a machine that paused
waits until Triton has made up its mind, and ends itself where that has given up on it.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vfnet_runtime.proc_files import SchedstatFile, threads_of
from vfnet_runtime.triton_models.triton_queue import TritonQueue

RECORD = struct.Struct("=dd")
_STUB = "triton_python_backend_stub"
_BEAT_SECONDS = 0.1
_PAUSE_SECONDS = 0.4
"""Triton gives up after 0.7 to 1 s."""
_VERDICT_SECONDS = 0.5
"""After a pause: by then the backend's own thread has told Triton that this process runs, or Triton has given up."""
_HEALTH_SECONDS = 0.3
"""That thread wakes so often."""


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
        self.pauses = Pauses()

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
        self.pauses.end_if_given_up()
        return responses

    def is_cancelled(self, request: Any) -> bool:
        """Whether its caller has gone; Triton, which is asked, must still have the request."""
        self.pauses.end_if_given_up()
        return bool(request.is_cancelled())

    def change(self, by: int) -> None:
        """`by` requests more (or, negative, fewer) are at work."""
        with self._lock:
            self._at_work += by
            if self._map is not None:
                RECORD.pack_into(self._map, 0, self._at_work, time.monotonic())


class Pauses:
    """Times in which this process did not run."""

    def __init__(self) -> None:
        command = _own_command()
        self._matter = Path(command[0]).name == _STUB
        if not self._matter:
            return  # outside Triton nobody waits
        self._queue = _queue_of(command)
        self._health = _health_thread()
        self._beat = time.monotonic()
        self._ran = self._times_run()
        self._woke = -_VERDICT_SECONDS
        threading.Thread(target=self._keep_beating, name="pauses", daemon=True).start()

    def end_if_given_up(self) -> None:
        """End this process if Triton no longer waits for it. Call it before anything that names a request to Triton."""
        if not self._matter:
            return
        self._notice(time.monotonic())
        rest = self._woke + _VERDICT_SECONDS - time.monotonic()
        if rest > 0:
            if self._queue is None:  # nothing tells whether Triton waits, so rather a lost answer than a wrong one
                end_at_once()
            time.sleep(rest)
        if self._queue is not None and self._queue.waiting():
            end_at_once()

    def _keep_beating(self) -> None:
        while True:
            time.sleep(_BEAT_SECONDS)
            now = time.monotonic()
            self._notice(now)
            self._beat, self._ran = now, self._times_run()

    def _notice(self, now: float) -> None:
        """A beat that is long overdue means a pause, unless other code only kept Python from running."""
        gap = now - self._beat
        if gap > _PAUSE_SECONDS:
            beats_of_health = self._times_run() - self._ran
            if beats_of_health < max(2.0, 0.6 * gap / _HEALTH_SECONDS):
                self._woke = now

    def _times_run(self) -> int:
        """How often the backend's own thread, which needs no Python, has run; 0 where that cannot be known."""
        return 0 if self._health is None else self._health.times_run() or 0


def end_at_once() -> None:
    """Without a word to Triton; `vfnet serve` starts another process in its place."""
    os.kill(os.getpid(), signal.SIGKILL)


def _own_command() -> list[str]:
    try:
        return Path("/proc/self/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return [""]


def _queue_of(command: list[str]) -> TritonQueue | None:
    try:
        return TritonQueue(command)
    except (OSError, ValueError):
        return None


def _health_thread() -> SchedstatFile | None:
    """The backend starts it before anything else of this process."""
    try:
        return SchedstatFile(threads_of("self")[1])
    except (OSError, ValueError, IndexError):
        return None
