"""How far a batch is, its rate and the time left: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from vfnet_client.safe_text import printable_lines
from vfnet_data.progress import progress_line

_SECONDS_BETWEEN_LINES = 10.0


class BatchProgress:
    """A context manager; writes to stderr.

    Args:
        before: images that an earlier run has done.
    """

    def __init__(self, total: int, before: int) -> None:
        self._total, self._before, self._done = total, before, before
        self._bar = tqdm(total=total, initial=before, unit="image") if sys.stderr.isatty() else None
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self) -> None:
        """Everything is ready: rates and times count from now on."""
        self._began = self._last_line = time.monotonic()

    def advance(self, images: int) -> None:
        """So many more are done."""
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
            return
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES and self._done > self._before:
            self._last_line = now
            took = now - self._began
            self._print(progress_line("scoring", "image", self._done, self._total, took, self._before))

    def say(self, message: str) -> None:
        """A remark of something else than progress."""
        if self._bar is not None:
            self._bar.write(printable_lines(f"vfnet batch: {message}"), file=sys.stderr)
        else:
            self._print(message)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def images(self) -> int:
        """Done since it began."""
        return self._done - self._before

    def _print(self, message: str) -> None:
        print(printable_lines(f"vfnet batch: {message}"), file=sys.stderr, flush=True)
