"""Scales as a picture: AP and seconds over the scale, one below the other."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_bench.scales.measurement import ScalePoint

_DOTS_PER_INCH = 130
_AP, _TIME, _SMALL = "#2f6fb0", "#c0392b", "#3f9c8f"


def draw_scales(points: Sequence[ScalePoint], words: str) -> bytes:
    """A PNG, scales from small to large.

    Args:
        words: below it: of what, and on what.
    """
    ordered = sorted(points, key=lambda point: point.scale[0] * point.scale[1])
    at = [point.scale[0] for point in ordered]
    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for name, colour in (("AP", _AP), ("APs", _SMALL)):
        values = [point.figures[name] for point in ordered]
        if min(values) >= 0:  # there are such objects
            upper.plot(at, values, "o-", color=colour, label={"AP": "AP", "APs": "AP, objects below 32 x 32"}[name])
            _label(upper, at, values, "{:.3f}")
    medians = [point.seconds.median for point in ordered]
    lower.fill_between(
        at, [p.seconds.lower for p in ordered], [p.seconds.upper for p in ordered], color=_TIME, alpha=0.15, lw=0
    )
    lower.plot(at, medians, "o-", color=_TIME)
    _label(lower, at, medians, "{:.3g} s")
    upper.set_ylabel("AP, 0 to 1")
    upper.margins(y=0.25)
    upper.legend(fontsize=9, frameon=False)
    lower.set_ylabel("seconds an image (quartiles)")
    lower.set_ylim(0, 1.2 * max(point.seconds.upper for point in ordered))
    lower.set_xticks(at, [point.name for point in ordered], fontsize=9)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(words, fontsize=7.5, color="#555555", x=0.01, ha="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _label(axes: Axes, at: Sequence[float], values: Sequence[float], template: str) -> None:
    for x, y in zip(at, values, strict=True):
        axes.annotate(template.format(y), (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
