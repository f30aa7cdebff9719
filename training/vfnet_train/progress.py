"""Shows how a training goes: a bar with losses and the time left on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

from vfnet_client.safe_text import printable_lines

_SECONDS_BETWEEN_LINES = 30.0


class TrainingProgress:
    """A context manager; writes to stderr."""

    def __init__(self, total_steps: int, steps_per_epoch: int, done: int, shown: bool) -> None:
        self._total, self._per_epoch, self._done = total_steps, steps_per_epoch, done
        self._shown = shown
        self._bar: tqdm | None = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=total_steps, initial=done, unit="step", dynamic_ncols=True, smoothing=0.05)
        self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None  # when and at which step the first was done: it starts up a lot

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, losses: dict[str, float], learning_rate: float) -> None:
        """One more step is done."""
        self._done += 1
        if not self._shown:
            return
        epoch = -(-self._done // self._per_epoch)
        figures = {"loss": f"{sum(losses.values()):.3f}", **{name: f"{value:.3f}" for name, value in losses.items()}}
        figures["lr"] = f"{learning_rate:.2g}"
        if self._bar is not None:
            self._bar.set_description(f"epoch {epoch} of {self._total // self._per_epoch}", refresh=False)
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update()
        elif self._line_due() or self._first is None or self._done == self._total:
            self._last_line = time.monotonic()
            described = ", ".join(f"{name} {value}" for name, value in figures.items())
            told = f"epoch {epoch}, step {self._done} of {self._total}: {described}{self._left()}"
            print(told, file=sys.stderr, flush=True)
        self._first = self._first or (time.monotonic(), self._done)

    def say(self, message: str) -> None:
        """A remark between steps."""
        if self._bar is not None:
            self._bar.write(printable_lines(f"vfnet finetune: {message}"), file=sys.stderr)
        elif self._shown:
            print(printable_lines(f"vfnet finetune: {message}"), file=sys.stderr, flush=True)

    def _line_due(self) -> bool:
        return time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES

    def _left(self) -> str:
        if self._first is None:
            return ""
        began, begun_at = self._first
        seconds_per_step = (time.monotonic() - began) / (self._done - begun_at)
        left = round((self._total - self._done) * seconds_per_step)
        return f", {seconds_per_step:.2f} s a step, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
