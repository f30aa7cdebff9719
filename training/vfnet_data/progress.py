"""Shows how far a long loop is, with its rate and the time left: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BEFORE_A_BAR = 1.0


def with_progress(items: Iterable[T], total: int, doing: str, unit: str = "image") -> Iterator[T]:
    """The items as they come; what takes a second or ten says on stderr how far it is.

    Args:
        total: how many items there will be.
        doing: what is done to them, such as `checking images`.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, doing, total, leave=False, unit=unit, delay=_SECONDS_BEFORE_A_BAR)
        return
    began = last_line = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last_line >= _SECONDS_BETWEEN_LINES:
            last_line = now
            print(progress_line(doing, unit, done, total, now - began), file=sys.stderr, flush=True)


def progress_line(doing: str, unit: str, done: int, total: int, seconds: float, before: int = 0) -> str:
    """Such as `evaluating: 300 of 5000 images, 2.5 images/s, 31 min 20 s left`.

    Args:
        seconds: what it took so far.
        before: how many of `done` were done before that.
    """
    rate = max(done - before, 1e-9) / seconds
    left = round((total - done) / rate)
    speed = f"{rate:.3g} {unit}s/s" if rate >= 1 else f"{1 / rate:.3g} s/{unit}"
    return f"{doing}: {done} of {total} {unit}s, {speed}, {_duration(left)} left"


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
