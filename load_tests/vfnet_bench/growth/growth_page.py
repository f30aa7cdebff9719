"""Cost growth as a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from vfnet_bench.growth.points import WARM_UP_SHARE, Growth, MemoryRun, Point
from vfnet_load.report.charts import COLOURS, new_axes
from vfnet_load.report.page import KeyFigure, Page, Picture, Section, Table

_MIB = 2**20
_ON_SIZES = "More pixels to decode and to resize; what the network sees stays the same."
_ON_DETECTIONS = "Fixed detections in the network's place; an answer has 100 at most."


def growth_page(growth: Growth) -> Page:
    """Everything that is to be seen."""
    setting, memory = growth.setting, growth.memory
    machine = setting["machine"]
    total = memory.total()[-1] / _MIB
    keys = [
        KeyFigure("best throughput", f"{max(median(p.rates) for p in growth.concurrency):.1f}", "images/s"),
        KeyFigure("memory of all servers", f"{total:.0f} MiB", f"after {memory.requests[-1]} requests"),
        KeyFigure("memory's growth", f"{memory.growth() / _MIB:+.1f} MiB", f"after the first {WARM_UP_SHARE:.0%}"),
    ]
    subtitle = (
        f"{setting['date']}. {machine['cpu']}, {machine['cores_usable']} cores, callers and servers on it. "
        f"{setting['what']}. Medians of {setting['rounds']} rounds of {setting['seconds']:g} s; bands from the lowest "
        "to the highest round."
    )
    fixed, size = f"{setting['callers']} callers", f"images of {setting['size']}"
    sections = [
        _section("Image size", f"{fixed}. {_ON_SIZES}", "megapixels", growth.sizes, log="xy"),
        _section("Concurrency", f"{size.capitalize()}.", "callers", growth.concurrency, log="x"),
        _section("Detections in an image", f"{fixed}, {size}. {_ON_DETECTIONS}", "detections", growth.detections),
        Section(
            "Memory",
            "Of the servers' processes; pages that several share are counted once.",
            [
                Picture(draw_memory_by_concurrency(growth.concurrency), "memory by concurrency, stacked by process"),
                Picture(draw_memory_run(memory), "memory over the requests answered"),
            ],
        ),
        Section("Settings", tables=[Table((), [[name, str(setting[name])] for name in ("command", "versions")])]),
    ]
    return Page("Cost growth", subtitle, keys, (), sections)


def _section(title: str, text: str, what: str, points: Sequence[Point], *, log: str = "") -> Section:
    head = [what, "images/s", "p50", "p99"]
    rows = [
        [
            f"{p.value:g}",
            f"{median(p.rates):.1f}",
            f"{1000 * median(p.medians):.1f} ms",
            f"{1000 * median(p.p99s):.1f} ms",
        ]
        for p in points
    ]
    pictures = [
        Picture(draw_rates(points, what, log=log), f"images a second by {what}"),
        Picture(draw_latencies(points, what, log=log), f"latency by {what}"),
    ]
    return Section(title, text, pictures, [Table(head, rows)])


def draw_rates(points: Sequence[Point], what: str, *, log: str) -> Figure:
    """Images a second."""
    figure, axes = new_axes("Throughput", "images/s", what)
    _band(axes, points, [p.rates for p in points], "#2f6fb0", None)
    _scale(axes, points, log=log)
    return figure


def draw_latencies(points: Sequence[Point], what: str, *, log: str) -> Figure:
    """Median and 99th percentile."""
    figure, axes = new_axes("Latency", "milliseconds", what)
    _band(axes, points, [[1000 * v for v in p.medians] for p in points], "#2f6fb0", "p50")
    _band(axes, points, [[1000 * v for v in p.p99s] for p in points], "#c0392b", "p99")
    _scale(axes, points, log=log)
    axes.legend(fontsize=9)
    return figure


def draw_memory_by_concurrency(points: Sequence[Point]) -> Figure:
    """Stacked bars."""
    figure, axes = new_axes("Memory by concurrency", "MiB", "callers")
    bottom = np.zeros(len(points))
    for name in (name for name in COLOURS if any(p.memory.get(name) for p in points)):
        values = np.array([p.memory.get(name, 0.0) / _MIB for p in points])
        axes.bar(range(len(points)), values, bottom=bottom, label=name, color=COLOURS[name], width=0.6)
        bottom += values
    axes.set_xticks(range(len(points)), [f"{p.value:g}" for p in points])
    figure.legend(fontsize=8, ncols=5, loc="outside lower center", frameon=False, columnspacing=1)
    return figure


def draw_memory_run(run: MemoryRun) -> Figure:
    """Each group, and all together."""
    figure, axes = new_axes("Memory over requests", "MiB", "requests answered")
    axes.plot(run.requests, np.array(run.total()) / _MIB, color="#1d2733", lw=2, label="all")
    for name in (name for name in COLOURS if any(each.get(name) for each in run.memory)):
        axes.plot(run.requests, [each.get(name, 0.0) / _MIB for each in run.memory], color=COLOURS[name], label=name)
    axes.axvspan(0, WARM_UP_SHARE * run.requests[-1], color="#5d6b7a", alpha=0.1, lw=0)
    axes.annotate("warm-up", (0.01, 0.95), xycoords="axes fraction", fontsize=8, color="#5d6b7a")
    axes.set_ylim(0, 1.15 * max(run.total()) / _MIB)
    figure.legend(fontsize=8, ncols=6, loc="outside lower center", frameon=False, columnspacing=1)
    return figure


def _band(axes: Axes, points: Sequence[Point], values: list[list[float]], colour: str, label: str | None) -> None:
    at = [p.value for p in points]
    axes.fill_between(at, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.2, lw=0)
    axes.plot(at, [median(v) for v in values], "o-", color=colour, label=label, markersize=4)


def _scale(axes: Axes, points: Sequence[Point], *, log: str) -> None:
    if "x" in log:
        axes.set_xscale("log", base=2)
        axes.set_xticks([p.value for p in points], [f"{p.value:.2g}" for p in points])
        axes.minorticks_off()
    if "y" in log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.set_ylim(bottom=0)
