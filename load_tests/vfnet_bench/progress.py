"""How far a benchmark is, on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Progress:
    """Remarks, and at times a bar below them."""

    def __init__(self, benchmark: str) -> None:
        """`benchmark`: its name, for the remarks."""
        self._benchmark = benchmark
        self._bar: tqdm | None = None

    def say(self, message: str) -> None:
        """A line."""
        line = f"vfnet bench {self._benchmark}: {message}"
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.write(line, file=sys.stderr)

    @contextmanager
    def steps(self, total: int) -> Iterator[None]:
        """Inside, `step` is called `total` times."""
        with tqdm(total=total, desc="measuring", leave=False, disable=not sys.stderr.isatty()) as self._bar:
            try:
                yield
            finally:
                self._bar = None

    def step(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.update()
