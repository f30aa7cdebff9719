"""The next point by what the trials before have come to; and a sweep that goes on with it, run by the real Ray Tune."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_training import finetune_arguments
from vfnet_client.cli import main
from vfnet_train.metrics import Record
from vfnet_train.sweep import ray_runner
from vfnet_train.sweep.bayesian_sampling import next_point
from vfnet_train.sweep.search_space import Parameter, Point, SearchSpace, Value, read_search_space
from vfnet_train.sweep.trials import FINISHED, Outcome, Trial

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = """
learning-rate = { loguniform = [1e-5, 1e-1] }
schedule = ["constant", "step"]
"""
BEST = 1e-3


def read_space(folder: Path) -> SearchSpace:
    (folder / "space.toml").write_text(SPACE)
    return read_search_space(folder / "space.toml", ["learning-rate", "schedule"])


def quality(point: Point) -> float:
    """Highest at a rate of `BEST`, and a little higher with `constant`."""
    rate = point["learning-rate"]
    assert isinstance(rate, float)
    return 0.9 - 0.2 * abs(math.log10(rate / BEST)) - (0.05 if point["schedule"] == "step" else 0.0)


def tried_in_turn(space: SearchSpace, seed: int, count: int) -> list[Point]:
    """The points of a sweep whose trials run one after another."""
    tried: list[tuple[Point, float | None]] = []
    for _ in range(count):
        point = next_point(space, tried, seed)
        assert point is not None
        tried.append((point, quality(point)))
    return [point for point, _ in tried]


def test_it_looks_where_it_was_good(tmp_path: Path) -> None:
    """Of two sweeps, the trials behind the ten random ones."""
    space = read_space(tmp_path)
    later = [quality(point) for seed in range(2) for point in tried_in_turn(space, seed, 16)[10:]]
    drawn = [quality(point) for seed in range(2) for point in space.points("random", 16, seed)[10:]]
    assert sum(later) / len(later) > sum(drawn) / len(drawn) + 0.1


def test_points_follow_from_seed_and_figures_alone(tmp_path: Path) -> None:
    space = read_space(tmp_path)
    points = tried_in_turn(space, 7, 12)
    assert tried_in_turn(space, 8, 3) != points[:3]
    assert len({json.dumps(point) for point in points}) == 12
    known = [(point, quality(point)) for point in points[:11]]
    assert next_point(space, known, 7) == points[11]
    others = [(point, 1 - figure) for point, figure in known]
    assert next_point(space, others, 7) != points[11]  # the figures matter
    assert next_point(space, [*known, (points[11], None)], 7) not in points  # which still runs


def test_every_distribution_is_sampled_within_its_bounds() -> None:
    parameters = (
        Parameter("a", "uniform", (0.0, 1.0)),
        Parameter("b", "loguniform", (1e-6, 1e-2)),
        Parameter("c", "randint", (3, 6)),
        Parameter("d", "quniform", (1, 9, 2)),
        Parameter("e", "qloguniform", (10, 1000, 10)),
        Parameter("f", "choice", (1, True, "true", ["x", "y"])),
    )
    tried: list[tuple[Point, float | None]] = []
    for number in range(12):
        point = next_point(SearchSpace(parameters), tried, 1)
        assert point is not None
        tried.append((point, number / 12))
    found: dict[str, list[Value]] = {each.name: [point[each.name] for point, _ in tried] for each in parameters}
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in found["a"])
    assert all(isinstance(value, float) and 1e-6 <= value <= 1e-2 for value in found["b"])
    assert set(map(repr, found["c"])) <= {"3", "4", "5"}
    assert set(map(repr, found["d"])) <= {str(value) for value in (1, 2, 4, 6, 8, 9)}
    assert all(isinstance(value, int) and 10 <= value <= 1000 and value % 10 == 0 for value in found["e"])
    assert set(map(repr, found["f"])) <= {"1", "True", "'true'", "['x', 'y']"}


def test_a_space_that_is_exhausted_has_no_next_point() -> None:
    space = SearchSpace((Parameter("a", "choice", (1, 2)), Parameter("b", "choice", ("x", "y"))))
    tried: list[tuple[Point, float | None]] = []
    while (point := next_point(space, tried, 3)) is not None:
        assert point not in [each for each, _ in tried]
        tried.append((point, 0.5))
    assert len(tried) == 4


@pytest.mark.training
def test_a_sweep_that_was_interrupted_tries_what_it_would_have_tried(
    tiny_checkpoint: Path,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As it was killed in its second trial; with trials that compute `quality` instead of training."""
    space, output = read_space(tmp_path), tmp_path / "run"
    expected = tried_in_turn(space, 42, 3)

    def run_trial(trial: Trial, report: Callable[[Record], None]) -> None:
        import json
        import math

        rate, schedule = trial.point["learning-rate"], trial.point["schedule"]
        figure = 0.9 - 0.2 * abs(math.log10(rate / 1e-3)) - (0.05 if schedule == "step" else 0.0)  # type: ignore[operator]
        record = {"kind": "epoch", "epoch": 1, "step": 1, "AP": figure, "seconds": 1.0}
        trial.settings.output.mkdir(parents=True, exist_ok=True)
        for name, content in (("metrics.jsonl", json.dumps(record) + "\n"), ("best.pth", trial.name)):
            (trial.settings.output / name).write_text(content)
        report(record)
        trial.decide(Outcome(FINISHED))

    def interrupted(trials: list[Trial], *others: Any) -> tuple[dict[int, str], int]:
        """One trial long, and into the next."""
        run_trial(trials[0], lambda _: None)
        assert others[-1].next().point == expected[1]
        return {}, 2

    more = ("--space", str(tmp_path / "space.toml"), "--sampling", "bayesian", "--max-trials", "3")
    arguments = ["sweep", *finetune_arguments(scenes, tiny_checkpoint, output, *more, "--trial-cpus", "1")[1:]]
    with monkeypatch.context() as first:
        first.setattr("vfnet_train.sweep.sweeping.run_trials", interrupted)
        assert main(arguments) == 130
    assert json.loads((output / "trials.json").read_text()) == expected[:2]

    monkeypatch.setattr(ray_runner, "run_trial", run_trial)
    assert main(arguments) == 0
    said = capfd.readouterr().err
    assert "3 trials, 2 to run" in said
    assert "trial 3 of 3: learning-rate" in said
    assert json.loads((output / "trials.json").read_text()) == expected
    results = json.loads((output / "results.json").read_text())["trials"]
    assert sorted(each["trial"] for each in results) == ["0001", "0002", "0003"]
    assert {each["outcome"] for each in results} == {"finished"}
    best = max(range(3), key=lambda index: quality(expected[index]))
    assert (output / "best.pth").read_text() == f"{best + 1:04}"
