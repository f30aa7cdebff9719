"""The table, the plot and the page of a sweep, from what trials leave in their folders."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vfnet_evaluate.pictures import plain_texts
from vfnet_train.settings import FinetuneSettings
from vfnet_train.sweep.results import SweepResults, draw_results, write_results
from vfnet_train.sweep.trials import FAILED, FINISHED, STOPPED, Outcome, Trial, make_trial


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """One that finished, one that was stopped, one that failed, one in the middle, one that has not begun."""
    base = FinetuneSettings((Path("a"),), "demo", tmp_path)
    curves = [[0.2, 0.4, 0.3], [0.1, 0.2], [], [0.4], []]
    outcomes = [Outcome(FINISHED), Outcome(STOPPED, "bandit"), Outcome(FAILED, "it | diverged"), None, None]
    made = []
    for number, (curve, outcome) in enumerate(zip(curves, outcomes, strict=True), 1):
        trial = make_trial(number, {"learning-rate": 10.0**-number, "schedule": ["step", "constant"][number % 2]}, base)
        trial.settings.output.mkdir(parents=True)
        records = [
            {"kind": "epoch", "epoch": 2 * position, "step": position, "AP": figure, "seconds": 60.0 * position}
            for position, figure in enumerate(curve, 1)
        ]
        records.insert(0, {"kind": "epoch", "epoch": 1, "step": 1, "loss": 1.0})  # not evaluated
        (trial.settings.output / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        if outcome is not None:
            trial.decide(outcome)
        made.append(trial)
    return made


def rated_trial(number: int, rate: float, folder: Path) -> Trial:
    """One that was evaluated once."""
    trial = make_trial(number, {"learning-rate": rate}, FinetuneSettings((Path("a"),), "demo", folder))
    trial.settings.output.mkdir(parents=True)
    record = {"kind": "epoch", "epoch": 1, "step": 1, "AP": number / 10, "seconds": 1.0}
    (trial.settings.output / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return trial


def test_the_best_comes_first_and_of_equal_ones_the_earlier(trials: list[Trial]) -> None:
    results = SweepResults.of(trials, "AP")
    assert [row[0] for row in results.rows()[1:]] == ["0001", "0004", "0002", "0003", "0005"]
    assert results.rows()[1] == ["0001", "0.1", "constant", "0.4000", "4", "6", "3.0", "finished"]
    assert results.rows()[4][3:] == ["", "", "0", "0.0", "failed"]
    assert [row[-1] for row in results.rows()[1:]] == ["finished", "unfinished", "stopped", "failed", "unfinished"]
    assert results.best is not None
    assert results.best.trial.number == 1
    heading, first, *_ = results.to_text().splitlines()
    assert heading.index("schedule") == first.index("constant")


def test_what_is_written_can_be_read(trials: list[Trial], tmp_path: Path) -> None:
    write_results(SweepResults.of(trials, "AP"), tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["trials"][2]["reason"] == "bandit"
    assert document["trials"][2]["evaluations"] == [{"epoch": 2, "figure": 0.1}, {"epoch": 4, "figure": 0.2}]
    assert (tmp_path / "results.csv").read_text().splitlines()[0].startswith("trial,learning-rate,schedule,AP,")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.md").read_text()
    assert "The best AP is 0.4000: trial 0001, after epoch 4" in page
    assert r"* 0003: it \| diverged" in page


@pytest.mark.parametrize("rates", [(3e-5, 7e-4), (1.1e-5, 1e-3), (1.9e-5, 3.8e-3), (1e-7, 1e-1)])
def test_a_logarithmic_axis_has_numbers_a_person_can_read(tmp_path: Path, rates: tuple[float, float]) -> None:
    trials = [rated_trial(number, rate, tmp_path) for number, rate in enumerate(rates, 1)]
    with plain_texts():
        figure = draw_results(SweepResults.of(trials, "AP"))
        FigureCanvasAgg(figure).draw()
    axes = figure.axes[1]
    assert axes.get_xlabel() == "learning-rate"
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    shown = {label.get_text(): position for position, label in ticks if low <= position <= high}
    assert len(shown) >= 2
    places = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text() in shown]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(places))
    numbers = {float(text.replace("\N{MINUS SIGN}", "-")): position for text, position in shown.items()}
    assert all(number == pytest.approx(position) for number, position in numbers.items())
    assert {label.get_text() for label in axes.get_xticklabels(minor=True)} <= {""}


def test_numbers_close_to_each_other_have_an_ordinary_axis(tmp_path: Path) -> None:
    trials = [rated_trial(number, rate, tmp_path) for number, rate in enumerate((1e-4, 5e-4), 1)]
    with plain_texts():
        assert draw_results(SweepResults.of(trials, "AP")).axes[1].get_xscale() == "linear"


def test_before_anything_was_evaluated_there_is_no_best(trials: list[Trial], tmp_path: Path) -> None:
    results = SweepResults.of(trials[4:], "AP")
    assert results.best is None
    write_results(results, tmp_path)
    assert "The best" not in (tmp_path / "report.md").read_text()
