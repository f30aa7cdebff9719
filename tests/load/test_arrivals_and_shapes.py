"""When requests are due, and how many users there are."""

from __future__ import annotations

from itertools import islice, takewhile

import numpy as np
import pytest

from vfnet_load.arrivals import arrivals
from vfnet_load.user_counts import users_at


def test_even_arrivals_keep_the_rate() -> None:
    times = np.array(list(islice(arrivals(10.0, 4.0, poisson=False), 50)))
    assert times[0] >= 10
    assert np.diff(times) == pytest.approx(0.25)


def test_many_users_together_arrive_evenly() -> None:
    together = sorted(
        time for _ in range(50) for time in takewhile(lambda at: at < 3.0, arrivals(0.0, 1.0, poisson=False))
    )
    gaps = np.diff(together)
    assert len(together) == 150
    assert gaps.max() < 3 * gaps.mean()


def test_poisson_arrivals_keep_the_rate_on_average_and_have_exponential_gaps() -> None:
    gaps = np.diff(list(islice(arrivals(0.0, 8.0, poisson=True), 4000)))
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.1)
    assert gaps.std() == pytest.approx(1 / 8, rel=0.15)


@pytest.mark.parametrize(
    ("shape", "counts"),
    [("constant", [20, 20, 20, 20, 20]), ("steps", [4, 8, 12, 16, 20]), ("spike", [2, 2, 20, 2, 2])],
)
def test_users_over_a_run(shape: str, counts: list[int]) -> None:
    assert [users_at(shape, 20, share) for share in (0.0, 0.3, 0.5, 0.7, 0.99)] == counts


def test_there_is_always_somebody() -> None:
    assert {users_at(shape, 1, 0.1) for shape in ("constant", "steps", "spike")} == {1}
