"""The gateway's end: images that wait for the keeper, and the keeper's life. Offering one takes no time.

What waits is bounded, in memory; one image more is dropped. A thread hands it to the keeper, because a pipe that nobody
empties holds up who writes to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from vfnet_capture.messages import BUSY, DROPPED, KEPT, LENGTHS, LOST, TROUBLE, Offer
from vfnet_capture.settings import CaptureSettings

Hear = Callable[[list[Any]], None]

_MOST_WAITING_BYTES = 32 << 20
_MOST_WAITING = 64
_PIPE_BYTES = 1 << 20
"""What an unprivileged process may ask for."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Before a keeper is started again."""


class Sender:
    """Hands images to a keeper, and starts another where one ends. Made and used by one event loop.

    Args:
        hear: takes the keeper's messages, see `messages`, and those that this one adds of the same kind.
    """

    def __init__(self, settings: CaptureSettings, hear: Hear) -> None:
        self._settings, self._hear = settings, hear
        self._waiting: deque[Offer] = deque()
        self._waiting_bytes = 0
        self._under_way = 0
        """Images that the keeper has not said yet what became of."""
        self._changed = threading.Condition()
        self._pipe: int | None = None
        self._is_closing = self._is_over = False
        self._closing = asyncio.Event()
        self._process: Process | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the keeper."""
        self._thread = threading.Thread(target=self._write_all, name="capture", daemon=True)
        self._thread.start()
        self._task = asyncio.create_task(self._have_a_keeper())

    def offer(self, offer: Offer) -> None:
        """Have it kept, or drop it. Returns at once, and never raises."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING or self._waiting_bytes + offer.size > _MOST_WAITING_BYTES:
                is_dropped = True
            else:
                is_dropped = False
                self._waiting.append(offer)
                self._waiting_bytes += offer.size
                self._changed.notify()
        if is_dropped:
            self._hear([DROPPED, BUSY, 1])

    async def stop(self, patience: float) -> None:
        """Have what waits kept, for at most so many seconds, and end the keeper."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._closing.set()
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=patience)
            if not done:
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()
                await asyncio.wait({self._task}, timeout=1.0)
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    async def _have_a_keeper(self) -> None:
        try:
            await self._keep_a_keeper()
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()

    async def _keep_a_keeper(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                was_of_use = await self._run_keeper()
                how = "ended"
            except OSError as error:  # no memory or process numbers, say
                was_of_use, how = False, f"could not be started ({error.strerror or error})"
            if self._is_closing:
                return
            pause = _FIRST_PAUSE_S if was_of_use else min(2 * pause, _LONGEST_PAUSE_S)
            self._hear([TROUBLE, f"the process that keeps captured images {how}: another is started in {pause:g} s"])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
                return

    async def _run_keeper(self) -> bool:
        """One, until it ends; whether it has ever said anything."""
        theirs, ours = os.pipe()
        with contextlib.suppress(OSError):  # where many pipes are that large, a small one does
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vfnet_capture.keeper", str(theirs),
                stdin=DEVNULL, stdout=PIPE, pass_fds=(theirs,),
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        with self._changed:
            self._pipe = ours
            self._changed.notify()
        was_of_use = False
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            was_of_use = True
            self._take(orjson.loads(line))
        await self._process.wait()
        with self._changed:
            self._pipe = None  # the thread closes it
            lost, self._under_way = self._under_way, 0
        if lost:
            self._hear([DROPPED, LOST, lost])
        return was_of_use

    def _take(self, message: list[Any]) -> None:
        if message[0] in (KEPT, DROPPED):
            with self._changed:
                self._under_way -= 1 if message[0] == KEPT else message[2]
        self._hear(message)

    def _write_all(self) -> None:
        """The thread. It alone closes pipes."""
        pipe: int | None = None
        while True:
            offer, fresh = self._next(pipe)
            if fresh != pipe or offer is None:
                if pipe is not None:
                    os.close(pipe)
                pipe = fresh
                if pipe is not None:
                    _write(pipe, orjson.dumps(asdict(self._settings)), b"", b"")
            elif pipe is not None:
                _write(pipe, _head(offer), offer.detections, offer.picture)
            if pipe is None and self._is_over:
                return

    def _next(self, pipe: int | None) -> tuple[Offer | None, int | None]:
        """The next image for this pipe, once there is one; or another pipe, or None, because it is done with."""

        def is_something_to_do() -> bool:
            if pipe is None:
                return self._is_over or self._pipe is not None
            return self._is_closing or self._pipe != pipe or bool(self._waiting)

        with self._changed:
            self._changed.wait_for(is_something_to_do)
            if self._pipe != pipe:
                return None, self._pipe
            if pipe is None or not self._waiting:
                self._pipe = None  # closing: its end tells the keeper
                return None, None
            offer = self._waiting.popleft()
            self._waiting_bytes -= offer.size
            self._under_way += 1
            return offer, pipe


def _head(offer: Offer) -> bytes:
    fields = {
        "request": offer.request, "deployment": offer.deployment, "score_threshold": offer.score_threshold,
        "reasons": offer.reasons, "at": offer.at, "answered_by": offer.answered_by, "checkpoint": offer.checkpoint,
    }  # fmt: skip
    return orjson.dumps(fields)


def _write(pipe: int, *parts: bytes) -> None:
    """A message. A pipe whose other end has gone takes none: its keeper's end is seen elsewhere."""
    with contextlib.suppress(BrokenPipeError):
        for part in (LENGTHS.pack(*map(len, parts)), *parts):
            view = memoryview(part)
            while view:
                view = view[os.write(pipe, view) :]
