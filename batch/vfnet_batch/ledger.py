"""What is done: the finished shards themselves, named by the positions they hold. There is no other book to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfnet_batch.errors import BatchError


@dataclass(frozen=True, order=True)
class Span:
    """Positions in the input from `first` up to, not including, `end`."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


def shard_path(folder: Path, span: Span, suffix: str) -> Path:
    """Such as `part-000001000-000001999.jsonl`: its first and last position."""
    return folder / f"part-{span.first:09}-{span.end - 1:09}{suffix}"


def finished_shards(folder: Path, suffix: str, count: int) -> dict[Span, Path]:
    """The shards of a folder, in order.

    Args:
        count: images of the input.

    Raises:
        BatchError: two hold the same positions, or one what the input does not have.
    """
    name = re.compile(rf"part-(\d{{9,}})-(\d{{9,}}){re.escape(suffix)}")
    found = {
        Span(int(match[1]), int(match[2]) + 1): path
        for path in folder.iterdir()
        if (match := name.fullmatch(path.name)) is not None
    }
    shards = dict(sorted(found.items()))
    end, last = 0, Path()
    for span, path in shards.items():
        if span.first < end or len(span) < 1 or span.end > count:
            beside = f" and {last.name}" if span.first < end else ""
            raise BatchError(f"{path}{beside} cannot be of this batch: remove what is wrong and start again")
        end, last = span.end, path
    return shards


def gaps(done: Sequence[Span], count: int) -> Iterator[Span]:
    """The positions that no shard holds, in order."""
    first = 0
    for span in (*done, Span(count, count)):
        if span.first > first:
            yield Span(first, span.first)
        first = span.end


def cut(spans: Iterator[Span], size: int) -> Iterator[Span]:
    """Spans of at most `size`, none across a multiple of it, so that cuts of any two runs agree."""
    for span in spans:
        first = span.first
        while first < span.end:
            end = min(span.end, (first // size + 1) * size)
            yield Span(first, end)
            first = end
