"""How far long work is: a bar on a terminal, plain lines in a log, remarks between."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, TypeVar

from vfnet_client.json_log import json_line
from vfnet_client.safe_text import printable_lines

if TYPE_CHECKING:  # imported where a bar is drawn: a log needs none
    from tqdm import tqdm

T = TypeVar("T")
BYTES = "B"
"""The unit of a transfer, which is told in MB."""


class Progress:
    """A context manager; writes to stderr. `begin` opens it, `advance` moves it, `say` remarks at any time.

    Args:
        doing: what is done, such as `checking images`; may be empty where the speaker says it all.
        total: how many units there will be; None where nobody knows.
        unit: in the singular, or `BYTES`.
        before: how many units an earlier run has done. Rates and times are of the others.
        speaker: who says each line, such as `vfnet batch`.
        shown: False: nothing is written, remarks included.
        line_seconds: between two lines in a log; None: no lines.
        tells_ends: whether a log has a line at the beginning and at the end too, however short the work.
        bar_delay: seconds until a terminal shows the bar.
        keeps_bar: whether the bar stays when the work is done.
        is_for_machines: each line is a JSON object (`vfnet_client.json_log`), on a terminal too.
    """

    def __init__(
        self,
        doing: str,
        total: int | None = None,
        unit: str = "image",
        *,
        before: int = 0,
        speaker: str = "",
        shown: bool = True,
        line_seconds: float | None = 10.0,
        tells_ends: bool = False,
        bar_delay: float = 0.0,
        keeps_bar: bool = False,
        is_for_machines: bool = False,
    ) -> None:
        self._doing, self._total, self._unit, self._speaker = doing, total, unit, speaker
        self._shown, self._line_seconds, self._tells_ends = shown, line_seconds, tells_ends
        self._bar_delay, self._keeps_bar = bar_delay, keeps_bar
        self._is_for_machines = is_for_machines
        self._figures: Mapping[str, str] = {}
        self._bar: tqdm | None = None
        self._before = self._done = self._timed_from = before
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, before: int | None = None, total: int | None = None) -> None:
        """Everything is ready: rates and times count from now on. May come again, for another transfer.

        Args:
            before: how many units are done already; None: as many as were, and the total stays too.
            total: as in the constructor.
        """
        self._close()
        if before is not None:
            self._done, self._total = before, total
        self._before = self._done
        self.restart_clock()
        if self._is_on_a_terminal:
            self._bar = self._opened_bar()
        elif self._tells_ends:
            self.tell()

    def restart_clock(self) -> None:
        """Rates and times count from now on: what came before it was slower, as first steps are."""
        self._began, self._timed_from = time.monotonic(), self._done

    def describe(self, doing: str, figures: Mapping[str, str]) -> None:
        """What is done now, and figures of it, as text by name: told with what comes next."""
        self._doing, self._figures = doing, figures
        if self._bar is not None:
            self._bar.set_description(doing, refresh=False)
            self._bar.set_postfix(figures, refresh=False)

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._line_seconds is not None:
            is_due = time.monotonic() - self._last_line >= self._line_seconds
            if (is_due and self._done > self._before) or (self._tells_ends and self._done == self._total):
                self.tell()

    def tell(self) -> None:
        """A line now, in a log."""
        self._last_line = time.monotonic()
        if not self._is_on_a_terminal:
            self.say(self.line(self._last_line - self._began))

    def line(self, seconds: float) -> str:
        """Such as `evaluating: 300 of 5000 images, 2.5 images/s, 31 min 20 s left`, after so many seconds."""
        done, total = self._done, self._total
        doing = f"{self._doing}: " if self._doing else ""
        if self._unit == BYTES:
            return f"{doing}{done / 1e6:.1f}{'' if total is None else f' of {total / 1e6:.1f}'} MB"
        told = f"{doing}{done}{'' if total is None else f' of {total}'} {self._unit}s"
        if done > self._timed_from and seconds > 0:
            rate = (done - self._timed_from) / seconds
            told += f", {rate:.3g} {self._unit}s/s" if rate >= 1 else f", {1 / rate:.3g} s/{self._unit}"
            if total is not None:
                told += f", {_duration(round((total - done) / rate))} left"
        figures = ", ".join(f"{name} {value}" for name, value in self._figures.items())
        return f"{told}; {figures}" if figures else told

    def say(self, message: str, level: str = "INFO") -> None:
        """A remark of something else than progress; `level` as of `vfnet_client.json_log`, for machines."""
        if self._shown and self._is_for_machines:
            self.write(json_line(level, self._speaker, message))
        elif self._shown:
            self.write(printable_lines(f"{self._speaker}: {message}" if self._speaker else message))

    def write(self, text: str, file: IO[str] | None = None) -> None:
        """A text as it is, above the bar; None: to stderr."""
        file = file or sys.stderr
        if self._bar is not None:
            self._bar.write(text, file=file)
        else:
            print(text, file=file, flush=file is sys.stderr)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def advanced(self) -> int:
        """Units done since it began."""
        return self._done - self._before

    @property
    def _is_on_a_terminal(self) -> bool:
        return self._shown and not self._is_for_machines and sys.stderr.isatty()

    def _opened_bar(self) -> tqdm:
        from tqdm import tqdm

        return tqdm(
            desc=self._doing or self._speaker,
            total=self._total,
            initial=self._done,
            unit=self._unit,
            unit_scale=self._unit == BYTES,
            unit_divisor=1024,
            leave=self._keeps_bar,
            delay=self._bar_delay,
            smoothing=0.05,
            dynamic_ncols=True,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def with_progress(items: Iterable[T], total: int, doing: str, unit: str = "image") -> Iterator[T]:
    """The items as they come; what takes a second or ten says on stderr how far it is.

    Args:
        total: how many items there will be.
        doing: what is done to them, such as `checking images`.
    """
    with Progress(doing, total, unit, bar_delay=1.0) as progress:
        progress.begin()
        for item in items:
            yield item
            progress.advance()


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
