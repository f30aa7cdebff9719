"""`vfnet bench sharing` and `vfnet bench deploy`: what is counted, and how it is told."""

from __future__ import annotations

import pytest

from vfnet_bench.commands import deploy, sharing
from vfnet_bench.commands.deploy import Replacement
from vfnet_bench.load import Answer
from vfnet_bench.serving.shared_machine import SharingRound, shared_model
from vfnet_bench.serving.witnesses import GRPC, SCORE, Witnessed, kinds_of


def test_a_share_is_of_what_a_model_does_alone() -> None:
    crowd = [Answer(0.0, 1.0, 200), Answer(0.0, 3.0, 200), Answer(0.0, 0.01, 503), Answer(0.0, 0.02, 500)]
    model = shared_model(8.0, crowd, 4.0, [Answer(0.0, 0.5, 200), Answer(0.0, 0.1, 503)], 0.8)
    assert model.share == 0.5
    assert model.errors == 1
    assert model.accepted_p99 == pytest.approx(2.98)
    assert model.modest_refused == 1
    table = sharing._table([SharingRound(model, model)])
    assert "| **of what it does alone** (a half is its share)" in table
    assert "2.98e+03 ms" in table


def test_kinds_of_answers_are_counted_by_way() -> None:
    answers = [
        Witnessed(GRPC, 0.0, 1.0, "old"),
        Witnessed(GRPC, 2.0, 3.0, "new"),
        Witnessed(SCORE, 0.0, 1.0, "old in another frame"),
        Witnessed(SCORE, 2.0, 3.0, "new in another frame"),
    ]
    assert kinds_of(answers) == 2
    assert kinds_of([answer for answer in answers if answer.sent > 1.0]) == 1
    assert kinds_of([]) is None


def test_peak_memory_is_told_against_the_sum_of_both() -> None:
    found = Replacement("a load", 9.0, 2000, 0, (), 2, 1, 40.0, 12, 100 << 20, 140 << 20, 180 << 20)
    assert "0.75" in deploy._table([found])
