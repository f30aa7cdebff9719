"""What a mixture of sizes is held against."""

from __future__ import annotations

import math

import pytest

from vfnet_bench.serving.mixed_sizes import SHARES, MixedRound


def test_the_mixture_is_held_against_each_size_by_its_share() -> None:
    alone = dict.fromkeys(SHARES, 100.0) | {(640, 480): 50.0}  # half of the photos, each taking twice the time
    assert MixedRound(alone, 60.0, 4.0).expected == pytest.approx(1 / 0.015)
    assert MixedRound(alone, 60.0, 4.0).ratio == pytest.approx(0.9)


def test_a_size_that_got_no_answer_leaves_nothing_to_hold_it_against() -> None:
    assert math.isnan(MixedRound(dict.fromkeys(SHARES, 0.0), 60.0, 4.0).ratio)
