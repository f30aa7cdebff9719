"""Sorting more lines than should be in memory at once."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby, islice
from pathlib import Path
from typing import IO

_LINES_IN_MEMORY = 100_000


def sorted_lines(lines: Iterable[str], scratch: Path, lines_in_memory: int = _LINES_IN_MEMORY) -> Iterator[str]:
    """The lines, each with its newline, in order and each once.

    Args:
        scratch: a folder for what does not fit into memory; nothing is left there.
    """
    source = iter(lines)
    first = sorted(islice(source, lines_in_memory))
    with ExitStack() as stack:
        runs: list[Iterable[str]] = [first]
        while run := sorted(islice(source, lines_in_memory)):
            runs.append(stack.enter_context(_spilled(run, scratch)))
        yield from (line for line, _ in groupby(heapq.merge(*runs)))


def _spilled(run: list[str], scratch: Path) -> IO[str]:
    file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=scratch)  # noqa: SIM115
    file.writelines(run)
    file.seek(0)
    return file
