from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vfnet_model.detectors.network_detector import read_ahead


def test_results_come_in_order() -> None:
    assert list(read_ahead(lambda number: number * 2, range(50))) == [number * 2 for number in range(50)]


def test_no_more_than_asked_for_is_in_memory() -> None:
    begun: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            begun.append(number)
            yield number

    results = read_ahead(lambda number: number, numbers(), ahead=3)
    assert next(results) == 0
    assert len(begun) == 4


def test_an_error_reaches_the_caller_and_the_threads_end() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda number: 1 // number, [1, 0, 1]))
    assert threading.active_count() == before
