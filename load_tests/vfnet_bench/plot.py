"""The result as a picture: time of one image, and images a second, each contestant a bar."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_bench.measurement import Measurement, quartiles
from vfnet_bench.network.report import Report

_OURS, _THEIRS = "#2f6fb0", "#b0b7c0"
_DOTS_PER_INCH = 130


def draw(report: Report) -> bytes:
    """A PNG. Bars are medians, whiskers quartiles; the served detector is coloured."""
    latencies = [each for each in report.measurements if each.unit == "s" and ", one at a time" in each.name]
    throughputs = [each for each in report.measurements if each.unit == "images/s"]
    panels = [panel for panel in (latencies, throughputs) if panel]
    figure = Figure(figsize=(10, 1.6 + 0.42 * max(map(len, panels))), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _bars(axis, panel)
    words = textwrap.fill(f"{report.setting_in_words()} {_versions(report)}", 150)
    figure.supxlabel(words, fontsize=7.5, color="#555555", x=0.01, ha="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _bars(axis: Axes, measurements: Sequence[Measurement]) -> None:
    per_image = measurements[0].unit == "s"
    spreads = [quartiles(each.values) for each in measurements]
    names = [each.name.removesuffix(", one at a time").replace(", ", "\n", 1) for each in measurements]
    medians = [spread.median for spread in spreads]
    whiskers = [[s.median - s.lower for s in spreads], [s.upper - s.median for s in spreads]]
    colours = [_OURS if name.startswith("served") else _THEIRS for name in names]
    positions = range(len(names))
    axis.barh(positions, medians, xerr=whiskers, color=colours, height=0.66, error_kw={"lw": 1, "capsize": 2})
    axis.set_yticks(positions, names, fontsize=8.5)
    axis.invert_yaxis()
    for position, spread in zip(positions, spreads, strict=True):
        axis.annotate(
            f"{spread.median:.2f}",
            (spread.upper, position),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.set_xlim(0, 1.16 * max(spread.upper for spread in spreads))
    axis.spines[["top", "right"]].set_visible(False)
    title = "one image at a time: seconds (less is better)" if per_image else "images a second (more is better)"
    axis.set_title(title, fontsize=10, loc="left")


def _versions(report: Report) -> str:
    """Of what the others run on."""
    others = {name: each for name, each in report.setting["versions"].items() if isinstance(each, dict)}
    return " ".join(f"{name}: {', '.join(f'{n} {v}' for n, v in each.items())}." for name, each in others.items())
