"""What came of a sweep: a table as text, CSV and JSON, a plot, and a short page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from vfnet_client.atomic_files import write_inside
from vfnet_client.safe_text import markdown_text
from vfnet_evaluate.pictures import in_a_picture, plain_texts, save_figure
from vfnet_train.run_folder import BEST_CHECKPOINT
from vfnet_train.sweep.search_space import Value, shown, shown_value
from vfnet_train.sweep.trials import FAILED, STOPPED, Outcome, Trial

PAGE, TABLE, DOCUMENT, PLOT = "report.md", "results.csv", "results.json", "sweep.png"
_COLUMNS = 3
"""Of the plot."""
_LOGARITHMIC_FROM, _FEW_POWERS = 20, 100
"""Ratios of the largest value of an option to its least: where its axis becomes logarithmic, and up to where it has
more numbers than powers of ten."""
_OPEN = Outcome("unfinished")
_BEST_COLOUR, _OTHER_COLOUR, _STOPPED_COLOUR = "#1f77b4", "0.6", "#e6194b"


@dataclass(frozen=True)
class TrialResult:
    """One line of the table."""

    trial: Trial
    outcome: Outcome
    curve: tuple[tuple[int, float], ...]
    """Epoch and figure of each evaluation."""
    seconds: float
    """Of training."""

    @property
    def figure(self) -> float | None:
        """The best it had; None: it never came that far."""
        return max((figure for _, figure in self.curve), default=None)

    @property
    def best_epoch(self) -> int | None:
        """When it had that first."""
        return next((epoch for epoch, figure in self.curve if figure == self.figure), None)


@dataclass(frozen=True)
class SweepResults:
    """All of them, the best first."""

    metric: str
    results: tuple[TrialResult, ...]

    @classmethod
    def of(cls, trials: Sequence[Trial], metric: str) -> SweepResults:
        """Read what the trials' folders hold by now."""
        results = []
        for trial in trials:
            records = trial.evaluations
            curve = tuple((int(record["epoch"]), float(record[metric])) for record in records)
            seconds = float(records[-1].get("seconds", 0.0)) if records else 0.0
            results.append(TrialResult(trial, trial.outcome or _OPEN, curve, seconds))
        ranked = sorted(results, key=lambda each: -2.0 if each.figure is None else each.figure, reverse=True)
        return cls(metric, tuple(ranked))

    @property
    def best(self) -> TrialResult | None:
        """The one with the highest figure, of equal ones the first; None: no trial was evaluated."""
        return next((each for each in self.results if each.figure is not None), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The options that were tried out."""
        return tuple(self.results[0].trial.point)

    def rows(self) -> list[list[str]]:
        """The table, its heading first."""
        heading = ["trial", *self.names, self.metric, "best epoch", "epochs", "minutes", "outcome"]
        rows = [heading]
        for each in self.results:
            epochs = str(each.curve[-1][0]) if each.curve else "0"
            figure = "" if each.figure is None else f"{each.figure:.4f}"
            values = [shown_value(value) for value in each.trial.point.values()]
            best = "" if each.best_epoch is None else str(each.best_epoch)
            minutes = f"{each.seconds / 60:.1f}"
            rows.append([each.trial.name, *values, figure, best, epochs, minutes, each.outcome.kind])
        return rows

    def to_text(self) -> str:
        """The table in columns."""
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def write_results(results: SweepResults, folder: Path) -> None:
    """Write `TABLE`, `DOCUMENT`, `PLOT` and `PAGE` into the folder of the sweep."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(results.rows())
    write_inside(folder / TABLE, table.getvalue().encode())
    document = {"metric": results.metric, "trials": [_document(each) for each in results.results]}
    write_inside(folder / DOCUMENT, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    with plain_texts():
        save_figure(draw_results(results), folder / PLOT)
    write_inside(folder / PAGE, _page(results).encode())


def draw_results(results: SweepResults) -> Figure:
    """Every trial's figure by epoch, and beside it the best figure of each trial against each option."""
    panels = 1 + len(results.names)
    columns = min(panels, _COLUMNS)
    lines = -(-panels // columns)
    figure = Figure(figsize=(4.6 * columns, 3.8 * lines), layout="constrained")
    every = figure.subplots(lines, columns, squeeze=False).flatten()
    _draw_curves(every[0], results)
    for axes, name in zip(every[1:], results.names, strict=False):
        _draw_option(axes, results, name)
    for axes in every[panels:]:
        axes.set_visible(False)
    return figure


def _draw_curves(axes: Axes, results: SweepResults) -> None:
    is_any_stopped = False
    for each in reversed(results.results):
        if not each.curve:
            continue
        epochs, figures = zip(*each.curve, strict=True)
        is_best = each is results.best
        colour = _BEST_COLOUR if is_best else _OTHER_COLOUR
        label = f"trial {each.trial.name}, the best" if is_best else None
        axes.plot(epochs, figures, color=colour, linewidth=2 if is_best else 1, marker="o", markersize=3, label=label)
        if each.outcome.kind == STOPPED:
            label = None if is_any_stopped else "stopped early"
            axes.plot(epochs[-1], figures[-1], "x", color=_STOPPED_COLOUR, markersize=7, label=label)
            is_any_stopped = True
    axes.set(xlabel="epoch", ylabel=results.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if results.best is not None or is_any_stopped:
        axes.legend(fontsize=8)


def _draw_option(axes: Axes, results: SweepResults, name: str) -> None:
    counted = [each for each in results.results if each.figure is not None]
    values: list[Value] = [each.trial.point[name] for each in counted]
    figures = [each.figure or 0.0 for each in counted]
    colours = [_BEST_COLOUR if each is results.best else _OTHER_COLOUR for each in counted]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if values and len(numbers) == len(values):
        axes.scatter(numbers, figures, c=colours)
        if min(numbers) > 0 and max(numbers) > _LOGARITHMIC_FROM * min(numbers):
            _make_logarithmic(axes, max(numbers) / min(numbers))
    else:
        words = list(dict.fromkeys(map(shown_value, values)))
        axes.scatter([words.index(shown_value(value)) for value in values], figures, c=colours)
        axes.set_xticks(range(len(words)), [in_a_picture(word) for word in words], rotation=15, fontsize=8)
        axes.margins(x=0.3)
    axes.set(xlabel=name, ylabel=results.metric)
    axes.grid(alpha=0.3)


def _make_logarithmic(axes: Axes, ratio: float) -> None:
    """A logarithmic axis of x, with at least two numbers at it.

    Args:
        ratio: of the largest value to the least.
    """
    axes.set_xscale("log")
    # Within two powers of ten there may be one alone, from which nobody can read a value.
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < _FEW_POWERS else (1.0,)))
    # Not as formulas, matplotlib's own, which `plain_texts` would show as they are written.
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)  # so that they have room beside each other


def _document(each: TrialResult) -> dict[str, Any]:
    return {
        "trial": each.trial.name,
        "folder": f"trials/{each.trial.name}",
        "settings": each.trial.point,
        "outcome": each.outcome.kind,
        "reason": each.outcome.reason,
        "figure": each.figure,
        "best_epoch": each.best_epoch,
        "evaluations": [{"epoch": epoch, "figure": figure} for epoch, figure in each.curve],
        "seconds": round(each.seconds, 3),
    }


def _page(results: SweepResults) -> str:
    heading, *rows = results.rows()
    lines = ["# Sweep", ""]
    if results.best is not None:
        best = results.best
        lines += [
            f"The best {results.metric} is {best.figure:.4f}: trial {best.trial.name}, after epoch {best.best_epoch}, "
            f"with {markdown_text(shown(best.trial.point), 1000)}. Its checkpoint is `{BEST_CHECKPOINT}`.",
            "",
        ]
    lines += [f"![every trial by epoch, and by option]({PLOT})", ""]
    lines += [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    lines += [f"| {' | '.join(markdown_text(cell) for cell in row)} |" for row in rows]
    reasons = [each for each in results.results if each.outcome.kind == FAILED]
    if reasons:
        lines += ["", "## Trials that failed", ""]
        lines += [f"* {each.trial.name}: {markdown_text(each.outcome.reason, 1000)}" for each in reasons]
    return "\n".join(lines) + "\n"
