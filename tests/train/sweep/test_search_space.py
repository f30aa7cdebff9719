"""The file of a search space."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_train.errors import FinetuneError
from vfnet_train.sweep.search_space import SearchSpace, read_search_space, shown

KNOWN = ("learning-rate", "schedule", "warmup-steps", "weight-decay", "scale", "photometric-distortion")


def space_of(text: str, tmp_path: Path) -> SearchSpace:
    path = tmp_path / "space.toml"
    path.write_text(text)
    return read_search_space(path, KNOWN)


EVERY = """
learning_rate = { loguniform = [1e-5, 1e-3] }
schedule = ["warmup_linear", "warmup_cosine"]
warmup-steps = { randint = [0, 3] }
weight-decay = { quniform = [0, 0.1, 0.025] }
"""


def test_random_points_lie_within_and_are_the_same_for_a_seed(tmp_path: Path) -> None:
    space = space_of(EVERY, tmp_path)
    points = space.points("random", 50, seed=3)
    assert len(points) == 50
    assert space.points("random", 20, seed=3) == points[:20]
    assert space.points("random", 20, seed=4) != points[:20]
    for point in points:
        assert 1e-5 <= point["learning-rate"] <= 1e-3  # type: ignore[operator]
        assert float(f"{point['learning-rate']:.6g}") == point["learning-rate"]
        assert point["weight-decay"] in (0, 0.025, 0.05, 0.075, 0.1)
    assert {point["warmup-steps"] for point in points} == {0, 1, 2}
    assert {point["schedule"] for point in points} == {"warmup_linear", "warmup_cosine"}
    middle = sorted(point["learning-rate"] for point in points)[25]  # type: ignore[type-var]
    assert 3e-5 < middle < 3e-4  # type: ignore[operator]


def test_a_small_space_gives_no_point_twice(tmp_path: Path) -> None:
    space = space_of('schedule = ["step", "constant"]\nphotometric-distortion = [true, false]', tmp_path)
    points = space.points("random", 20, seed=0)
    assert len(points) == 4
    grid = space.points("grid", None, seed=0)
    assert [shown(point) for point in grid] == [
        "schedule step, photometric-distortion true",
        "schedule step, photometric-distortion false",
        "schedule constant, photometric-distortion true",
        "schedule constant, photometric-distortion false",
    ]
    assert space.points("grid", 3, seed=0) == grid[:3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning-rat = [1]", "learning-rat is no option that can be tried out; there are: learning-rate,"),
        ("learning-rate = 1e-3", "a list of values is expected"),
        ("learning-rate = []", "no values to choose from"),
        ("learning-rate = [1e-3, 1e-3]", "twice"),
        ("learning-rate = { gaussian = [0, 1] }", "no distribution 'gaussian'; there are choice, uniform"),
        ("learning-rate = { uniform = [1e-3] }", r"uniform = \[low, high\] is expected"),
        ("learning-rate = { uniform = [1, 1] }", "1 is not below 1"),
        ("learning-rate = { uniform = [0, nan] }", "finite"),
        ("learning-rate = { loguniform = [0, 1] }", "no logarithm"),
        ("learning-rate = { loguniform = [-6.9, -2.3] }", "bounds are those of the values"),
        ("warmup-steps = { randint = [0, 1.5] }", "whole numbers"),
        ("warmup-steps = { quniform = [0, 10, 0] }", "the step is 0"),
        ("warmup-steps = { quniform = [0, 1, 1e-320] }", "the step 1e-320 is too small for 1"),
        ("warmup-steps = { randint = [0, 1" + 30 * "0" + "] }", "up to 1e15"),
        ("learning-rate = { uniform = [0, 1" + 400 * "0" + "] }", "up to 1e100"),
        ("learning-rate = { uniform = [-1e308, 1e308] }", "up to 1e100"),
        ("learning-rate = [1" + 400 * "0" + "]", "up to 1e100"),
        ("learning-rate = [1" + 5000 * "0" + "]", "no TOML"),
        ("learning-rate = [1]\nlearning_rate = [2]", "twice"),
        ("", "nothing to try out"),
        ("= 3", "no TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=said) as raised:
        space_of(text, tmp_path)
    assert "space.toml" in str(raised.value)


def test_a_grid_of_a_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="learning-rate is loguniform: list some"):
        space_of("learning-rate = { loguniform = [1e-5, 1e-3] }", tmp_path).points("grid", None, 0)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"none\.toml: No such file"):
        read_search_space(tmp_path / "none.toml", KNOWN)
