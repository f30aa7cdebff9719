"""How far a benchmark is, on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vfnet_client import progress


class Progress(progress.Progress):
    """Remarks, and at times a bar below them. In a log every round is a remark: there are no other lines."""

    def __init__(self, benchmark: str = "") -> None:
        """`benchmark`: its name, for the remarks."""
        super().__init__("measuring", unit="value", speaker=f"vfnet bench {benchmark}".rstrip(), line_seconds=None)

    @contextmanager
    def steps(self, total: int) -> Iterator[None]:
        """Inside, `step` is called `total` times."""
        with self:
            self.begin(0, total)
            yield

    def step(self) -> None:
        """One step is done."""
        self.advance()
