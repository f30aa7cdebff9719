"""Pictures of a run, over its seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vfnet_load.records import Record
from vfnet_load.report.load_run import LoadRun, by, latencies
from vfnet_load.server_processes import GATEWAY, GENERATOR, MODELS, TRITON
from vfnet_load.server_samples import ServerSamples

SIZE = (7.2, 3.3)
COLOURS = {
    TRITON: "#7d8ea3", "vfnet_preprocess": "#3f9c8f", "vfnet_detector": "#2f6fb0", "vfnet_postprocess": "#8a63b8",
    GATEWAY: "#d08a2e", GENERATOR: "#c7ccd3",
}  # fmt: skip
_PARTS = {"queue": "#e0b45c", "input": "#9fc4e2", "compute": "#2f6fb0", "output": "#7d8ea3"}
_MOST_BINS = 60


def new_axes(title: str, ylabel: str, xlabel: str = "seconds") -> tuple[Figure, Axes]:
    """One picture's frame."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_rates(run: LoadRun) -> Figure:
    """Requests due, answered and not answered, a second."""
    edges = _edges(run)
    width = edges[1] - edges[0]
    answered = run.answered()
    good = {id(record) for record in answered}
    others = [record for record in run.records if id(record) not in good]
    figure, axes = new_axes("Requests a second", "a second")
    due = _count([record.at for record in run.records], run, edges)
    axes.stairs(due / width, edges, label="due", color="#7d8ea3", lw=3, alpha=0.5)
    axes.stairs(_count(_ends(answered), run, edges) / width, edges, label="answered", color="#2f6fb0", lw=1.8)
    if others:
        axes.stairs(_count(_ends(others), run, edges) / width, edges, label="not answered", color="#c0392b", lw=1.8)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
    return figure


def draw_in_flight(run: LoadRun) -> Figure:
    """How many requests were under way: the mean of each bin, and between which numbers it moved."""
    changes = sorted([(r.at, 1) for r in run.records] + [(end, -1) for end in _ends(run.records)])
    at = np.array([time for time, _ in changes]) - run.started
    count = np.cumsum([change for _, change in changes])
    edges = _edges(run)
    grid = np.linspace(edges[0], edges[-1], 50 * (len(edges) - 1), endpoint=False)
    seen = count[np.maximum(0, np.searchsorted(at, grid, side="right") - 1)].reshape(-1, 50)
    figure, axes = new_axes("Requests in flight", "requests")
    middles = (edges[:-1] + edges[1:]) / 2
    axes.fill_between(middles, seen.min(axis=1), seen.max(axis=1), color="#2f6fb0", alpha=0.2, lw=0, label="range")
    axes.plot(middles, seen.mean(axis=1), color="#2f6fb0", lw=1.8, label="mean")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
    return figure


def draw_latency_over_time(run: LoadRun) -> Figure:
    """Percentiles of answered requests, by when they were due."""
    answered, edges = run.answered(), _edges(run)
    values = latencies(answered)
    bins = np.digitize(np.array([r.at for r in answered]) - run.started, edges) - 1
    middles = (edges[:-1] + edges[1:]) / 2
    figure, axes = new_axes("Latency of answered requests", "seconds")
    for percent, colour in ((50, "#2f6fb0"), (95, "#d08a2e"), (99, "#c0392b")):
        points = [
            np.percentile(values[bins == b], percent) if (bins == b).any() else np.nan for b in range(len(middles))
        ]
        axes.plot(middles, points, label=f"p{percent}", color=colour, marker="." if len(middles) < 25 else None)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
    return figure


def draw_latency_curve(run: LoadRun) -> Figure:
    """What share of the requests was answered within what time, by way in."""
    figure, axes = new_axes("Latency by percentile", "seconds", "percentile")
    ticks = (0.0, 50.0, 90.0, 99.0, 99.9)
    for way, records in by(run.answered(), "way").items():
        values = np.sort(latencies(records))
        ranks = 100 * (np.arange(len(values)) + 0.5) / len(values)
        axes.plot(_stretched(ranks), values, label=way)
    axes.set_xticks(_stretched(np.array(ticks)), [f"{tick:g}" for tick in ticks])
    axes.set_ylim(bottom=0)
    if run.answered():
        axes.legend(fontsize=9)
    return figure


def draw_batches(run: LoadRun) -> Figure:
    """Images per execution of the detector over time."""
    samples, mean = run.samples, run.samples.mean_batch_size()
    figure, axes = new_axes("Batch size of the detector", "images an execution")
    sizes = samples.batch_sizes()
    axes.plot(_middles(samples, run), sizes, ".-", color="#2f6fb0", lw=1)
    if mean is not None:
        axes.axhline(mean, color="#c0392b", lw=1, ls="--")
        axes.annotate(f"mean {mean:.2f}", (0, mean), (3, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", color="#c0392b", fontsize=9)  # fmt: skip
    axes.set_ylim(0, max(1.2, 1.15 * np.nanmax(np.append(sizes, 1.0))))
    return figure


def draw_time_per_image(run: LoadRun) -> Figure:
    """Queue and computation of each model."""
    spent = run.samples.seconds_per_image()
    figure, axes = new_axes("Where an image's time goes", "", "milliseconds an image")
    left = np.zeros(len(spent))
    for part, colour in _PARTS.items():
        values = np.array([1000 * each[part] for each in spent.values()])
        axes.barh(range(len(spent)), values, left=left, color=colour, label=part, height=0.6)
        left = left + values
    for position, total in enumerate(left):
        axes.annotate(f"{total:.1f}", (total, position), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(spent)), list(spent))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(left, default=1.0) or 1.0)
    if spent:
        figure.legend(fontsize=8, ncols=len(_PARTS), loc="outside lower center", frameon=False)
    return figure


def draw_cpu(run: LoadRun) -> Figure:
    """Cores in use by each group of processes, stacked."""
    samples = run.samples
    figure, axes = new_axes("Cores in use", "cores")
    names = [*reversed(MODELS), TRITON, GATEWAY, GENERATOR]
    cores = {name: samples.cores(name) for name in names}
    shown = [name for name in names if cores[name].any()]
    if shown:
        axes.stackplot(
            _middles(samples, run), [cores[n] for n in shown], labels=shown, colors=[COLOURS[n] for n in shown]
        )
    available = run.machine["cores_usable"]
    axes.axhline(available, color="#1d2733", lw=1, ls=":")
    axes.annotate(f"{available} cores", (1, available), (-2, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
    axes.set_ylim(0, 1.15 * available)
    figure.legend(fontsize=8, ncols=6, loc="outside lower center", frameon=False, columnspacing=1)
    return figure


def draw_memory(run: LoadRun) -> Figure:
    """Memory of each group of processes."""
    samples = run.samples
    figure, axes = new_axes("Memory (shared pages counted once)", "MiB")
    for name in (*MODELS, TRITON, GATEWAY, GENERATOR):
        memory = samples.memory(name) / 2**20
        if memory.any():
            axes.plot(samples.at - run.started, memory, label=name, color=COLOURS[name], lw=1.8)
    axes.set_ylim(bottom=0)
    figure.legend(fontsize=8, ncols=6, loc="outside lower center", frameon=False, columnspacing=1)
    return figure


def _edges(run: LoadRun) -> npt.NDArray[np.float64]:
    """Of bins of at least a second."""
    bins = int(np.clip(run.seconds, 1, _MOST_BINS))
    return np.linspace(0, max(1.0, run.seconds), bins + 1)


def _count(times: Sequence[float], run: LoadRun, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.histogram(np.array(times) - run.started, edges)[0].astype(np.float64)


def _ends(records: Sequence[Record]) -> list[float]:
    return [record.at + record.latency for record in records]


def _middles(samples: ServerSamples, run: LoadRun) -> npt.NDArray[np.float64]:
    return (samples.at[:-1] + samples.at[1:]) / 2 - run.started


def _stretched(percentile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """An axis on which 90, 99 and 99.9 are as far apart."""
    stretched: npt.NDArray[np.float64] = -np.log10(1 - np.clip(percentile, 0, 99.995) / 100)
    return stretched
