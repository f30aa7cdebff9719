"""Shows how far a download is: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class DownloadProgress:
    """A context manager; writes to stderr. The file's length may be unknown."""

    def __init__(self, name: str, shown: bool) -> None:
        self._name, self._shown = name, shown
        self._is_terminal = sys.stderr.isatty()
        self._bar: tqdm | None = None
        self._done, self._total = 0, None  # type: int, int | None
        self._last_line = time.monotonic()

    def __enter__(self) -> DownloadProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def start(self, done: int, total: int | None) -> None:
        """A transfer begins after `done` bytes of `total`."""
        self._close()
        self._done, self._total = done, total
        if self._shown and self._is_terminal:
            self._bar = tqdm(
                initial=done, total=total, desc=self._name, unit="B", unit_scale=True, unit_divisor=1024, leave=True
            )
        elif self._shown:
            self._line()

    def advance(self, count: int) -> None:
        """`count` more bytes have arrived."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shown and (
            self._done == self._total or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES
        ):
            self._line()

    def say(self, message: str) -> None:
        """A remark between transfers."""
        self._close()
        if self._shown:
            print(f"{self._name}: {message}", file=sys.stderr, flush=True)

    def _line(self) -> None:
        self._last_line = time.monotonic()
        total = f" of {self._total / 1e6:.1f}" if self._total is not None else ""
        print(f"{self._name}: {self._done / 1e6:.1f}{total} MB", file=sys.stderr, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
