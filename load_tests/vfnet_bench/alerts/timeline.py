"""What happened as a picture: burn rates over time, the alerts that rang as bars, the faults behind them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.figure import Figure

_COLOURS = {"availability": "#2f6fb0", "latency": "#d9822b"}
_DOTS_PER_INCH = 110
_GAP_S = 2.5


@dataclass(frozen=True)
class Fault:
    """One that was inflicted, in seconds since the beginning."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True)
class Ringing:
    """An alert from its first ring to its silence, in seconds since the beginning."""

    alert: str
    severity: str
    began: float
    ended: float


def draw(
    faults: Sequence[Fault],
    ringing: Sequence[Ringing],
    burn_rates: Mapping[str, Sequence[tuple[float, float]]],
    seconds: float,
    hour: float,
) -> bytes:
    """A PNG.

    Args:
        burn_rates: of the short window, by objective: seconds since the beginning, and the rate.
        seconds: how long it took.
        hour: how many seconds stood for one.
    """
    names = sorted({each.alert for each in ringing})
    figure = Figure(figsize=(10, 3.9 + 0.3 * len(names)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, max(1.0, 0.35 * len(names) + 0.3)])
    for axis in (above, below):
        for fault in faults:
            axis.axvspan(fault.began, fault.ended, color="#e8e2d4", zorder=0)
    for objective, points in burn_rates.items():
        times, values = zip(*_with_gaps(points), strict=True)
        above.plot(times, values, color=_COLOURS.get(objective, "black"), label=objective, linewidth=1.2)
    above.axhline(14.4, color="#999999", linewidth=0.8, linestyle="--")
    above.annotate("14.4", (1, 14.4), fontsize=7, color="#777777", va="bottom")
    above.set_yscale("symlog", linthresh=1)
    above.set_ylim(0, 400)
    above.set_ylabel("burn rate, short window")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    for fault in faults:
        above.annotate(
            fault.name, (fault.began, 1.02), xycoords=("data", "axes fraction"), fontsize=8, va="bottom", ha="left",
            rotation=20,
        )  # fmt: skip
    for each in ringing:
        colour = "#b3261e" if each.severity == "critical" else "#e0a100"
        below.barh(names.index(each.alert), each.ended - each.began, left=each.began, height=0.6, color=colour)
    below.set_yticks(range(len(names)), names, fontsize=8)
    below.invert_yaxis()
    below.set_xlim(0, seconds)
    below.set_xlabel(f"seconds; {hour:g} of them stand for an hour in the rules. Red: critical, yellow: warning")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _with_gaps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """With nothing to draw where for more than two seconds there was nothing."""
    drawn = list(points[:1])
    for before, after in pairwise(points):
        if after[0] - before[0] > _GAP_S:
            drawn.append((before[0] + 1, math.nan))
        drawn.append(after)
    return drawn
