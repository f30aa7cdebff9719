"""A scenario as a picture: what came and what the servers could do, and what callers saw of it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_bench.scaling.scaling_rule import ScalingRule
from vfnet_bench.scaling.scenarios import Run

_CAME, _CAN, _MEDIAN, _SLOW, _REFUSED = "#7d8ea3", "#2f6fb0", "#2f6fb0", "#d08a2e", "#c0392b"
_DOTS_PER_INCH = 110
_BINS = 240


def draw(runs: Sequence[tuple[str, ScalingRule | None, Run]], service: float) -> bytes:
    """A PNG: a column for each rule, named; above rates, below latencies and refusals.

    Args:
        service: seconds of an image in a server.
    """
    figure = Figure(figsize=(6.2 * len(runs), 5.6), layout="constrained")
    axes = figure.subplots(2, len(runs), squeeze=False, sharex="col", sharey="row")
    for column, (name, _rule, run) in enumerate(runs):
        in_hours = run.scenario.seconds > 4 * 3600
        _draw_rates(axes[0][column], run, service, in_hours=in_hours)
        _draw_latencies(axes[1][column], run, in_hours=in_hours)
        axes[0][column].set_title(name, fontsize=10, loc="left")
        axes[1][column].set_xlabel("hours" if in_hours else "minutes")
    axes[0][0].set_ylabel("images a second")
    axes[1][0].set_ylabel("seconds; % refused")
    for row in axes:
        for axis in row:  # when all is drawn: a limit that is set holds for what comes later too
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        row[0].legend(fontsize=8, loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _draw_rates(axis: Axes, run: Run, service: float, *, in_hours: bool) -> None:
    edges = np.linspace(run.scenario.counts_from, run.scenario.seconds, _BINS + 1)
    width = edges[1] - edges[0]
    came = np.histogram(np.concatenate([run.answers[:, 0], run.refused]), edges)[0] / width
    axis.stairs(came, _scaled(edges, in_hours), color=_CAME, lw=1.2, label="came")
    at = np.arange(len(run.history.ready)) * run.history.step
    shown = at >= run.scenario.counts_from
    can = np.array(run.history.ready) / service
    axis.step(_scaled(at[shown], in_hours), can[shown], where="post", color=_CAN, lw=1.4, label="servers can answer")


def _draw_latencies(axis: Axes, run: Run, *, in_hours: bool) -> None:
    edges = np.linspace(run.scenario.counts_from, run.scenario.seconds, _BINS + 1)
    middles = _scaled((edges[:-1] + edges[1:]) / 2, in_hours)
    bins = np.digitize(run.answers[:, 0], edges) - 1
    for percent, colour in ((50, _MEDIAN), (95, _SLOW)):
        points = [
            float(np.percentile(run.answers[bins == each, 1], percent)) if (bins == each).any() else np.nan
            for each in range(_BINS)
        ]
        axis.plot(middles, points, color=colour, lw=1.2, label=f"latency, p{percent}")
    refused = np.histogram(run.refused, edges)[0]
    came = np.maximum(1, np.histogram(run.answers[:, 0], edges)[0] + refused)
    axis.fill_between(middles, 100 * refused / came, color=_REFUSED, alpha=0.35, lw=0, label="refused, %")


def _scaled(seconds: npt.NDArray[np.float64], in_hours: bool) -> npt.NDArray[np.float64]:
    return seconds / (3600.0 if in_hours else 60.0)
