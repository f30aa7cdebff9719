"""What is done and what is left to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_batch.errors import BatchError
from vfnet_batch.external_sort import sorted_lines
from vfnet_batch.ledger import Span, cut, finished_shards, gaps, shard_path

positions = st.lists(st.integers(0, 60), unique=True).map(sorted)


@given(borders=positions, size=st.integers(1, 20))
def test_shards_and_gaps_hold_every_position_once(borders: list[int], size: int) -> None:
    done = [Span(first, end) for first, end in zip(borders[::2], borders[1::2], strict=False)]
    pieces = [*done, *cut(gaps(done, 61), size)]
    held = sorted(position for span in pieces for position in range(span.first, span.end))
    assert held == list(range(61))
    cuts = [span for span in pieces if span not in done]
    assert all(len(span) <= size and span.first // size == (span.end - 1) // size for span in cuts)


def test_a_shards_name_says_what_it_holds(tmp_path: Path) -> None:
    spans = [Span(0, 25), Span(40, 41)]
    for span in spans:
        shard_path(tmp_path, span, ".jsonl").touch()
    (tmp_path / ".part-000000025-000000039.jsonl.part").touch()
    assert list(finished_shards(tmp_path, ".jsonl", 41)) == spans
    assert finished_shards(tmp_path, ".parquet", 41) == {}


@pytest.mark.parametrize("second", [Span(24, 30), Span(40, 43)])
def test_shards_that_cannot_be_of_one_batch_are_named(tmp_path: Path, second: Span) -> None:
    for span in (Span(0, 25), second):
        shard_path(tmp_path, span, ".jsonl").touch()
    with pytest.raises(BatchError, match=f"part-{second.first:09}"):
        finished_shards(tmp_path, ".jsonl", 42)


@given(lines=st.lists(st.text("abc", max_size=3).map(lambda text: f"{text}\n")))
def test_sorting_outside_memory_is_sorting(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.getbasetemp()
    assert list(sorted_lines(lines, scratch, lines_in_memory=3)) == sorted(set(lines))
