"""A run as a page."""

from __future__ import annotations

from datetime import UTC, datetime

from vfnet_load.records import Record
from vfnet_load.report import charts
from vfnet_load.report.load_run import PERCENTILES, LoadRun, by, latency_figures
from vfnet_load.report.page import KeyFigure, Page, Picture, Section, Table


def run_page(run: LoadRun) -> Page:
    """Everything that is to be seen of a run."""
    sections = [_latency(run)] if run.answered() else []
    if run.records:
        sections.insert(0, _traffic(run))
    if run.reasons():
        sections.append(_not_answered(run))
    if len(run.samples.at) > 1:
        sections += [_batches(run), _resources(run)]
    sections.append(_settings(run))
    machine = run.machine
    when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC") if run.records else ""
    subtitle = (
        f"{when}. {machine['cpu']}, {machine['cores_usable']} cores, load and servers on it: {run.settings['what']}"
    )
    return Page("Load test", subtitle, _key_figures(run), run.warnings(), sections)


def _key_figures(run: LoadRun) -> list[KeyFigure]:
    answered = run.answered()
    figures = latency_figures(answered)
    missed = len(run.records) - len(answered)
    batch = run.samples.mean_batch_size()
    keys = [
        KeyFigure("answered a second", f"{run.rate(answered):.2f}", f"of {run.rate(run.records):.2f} due a second"),
        KeyFigure("answered", str(len(answered)), f"of {len(run.records)} requests in {run.seconds:.1f} s"),
        KeyFigure("not answered", str(missed), f"{missed / len(run.records):.1%}" if run.records else ""),
    ]
    if answered:
        keys += [
            KeyFigure("median latency", _time(figures["p50"])),
            KeyFigure("p95 latency", _time(figures["p95"])),
            KeyFigure("p99 latency", _time(figures["p99"])),
        ]
    if batch is not None:
        keys.append(KeyFigure("mean batch", f"{batch:.2f}", "images an execution"))
    return keys


def _traffic(run: LoadRun) -> Section:
    return Section(
        "Traffic",
        "Due is when a request was to be sent: in an open loop by the clock, in a closed one when the last was done.",
        [
            Picture(charts.draw_rates(run), "requests due, answered and not answered a second, over time"),
            Picture(charts.draw_in_flight(run), "requests in flight over time"),
        ],
    )


def _latency(run: LoadRun) -> Section:
    head = ["", "answered", "mean", *(f"p{percent:g}" for percent in PERCENTILES), "max"]
    answered = run.answered()
    ways = [_row(way, of) for way, of in by(answered, "way").items()]
    if len(ways) > 1:
        ways.insert(0, _row("all", answered))
    sizes = [_row(size, of) for size, of in by(answered, "size").items()]
    return Section(
        "Latency",
        "From when a request was due to its whole answer, of answered requests. In an open loop nothing is omitted "
        "because the server was slow: requests are due by the clock, and one that is sent late has waited.",
        [
            Picture(charts.draw_latency_over_time(run), "latency percentiles over time"),
            Picture(charts.draw_latency_curve(run), "latency by percentile for each way in"),
        ],
        [Table(head, ways), Table(["image size", *head[1:]], sizes)],
    )


def _row(name: str, records: list[Record]) -> list[str]:
    figures = latency_figures(records)
    times = [figures[key] for key in ("mean", *(f"p{percent:g}" for percent in PERCENTILES), "max")]
    return [name, str(len(records)), *map(_time, times)]


def _not_answered(run: LoadRun) -> Section:
    total = len(run.records)
    rows = [[reason, str(count), f"{count / total:.1%}"] for reason, count in run.reasons().items()]
    tables = [Table(["reason", "requests", "share"], rows)]
    if refusals := run.samples.gateway_refusals():
        tables.append(Table(["gateway's own count", "requests"], [[name, str(n)] for name, n in refusals.items()]))
    return Section("Not answered, by reason", "In the server's words, numbers left out.", tables=tables)


def _batches(run: LoadRun) -> Section:
    return Section(
        "In Triton",
        "nv_inference_count / nv_inference_exec_count of vfnet_detector; and per model its queue and computation, from "
        "Triton's metrics. Queue and computation of images in one batch overlap.",
        [
            Picture(charts.draw_batches(run), "images per execution of the detector over time"),
            Picture(charts.draw_time_per_image(run), "queue and compute time of an image in each model"),
        ],
    )


def _resources(run: LoadRun) -> Section:
    return Section(
        "Processes",
        "Of each model the Python processes that Triton started for it.",
        [
            Picture(charts.draw_cpu(run), "cores in use by process over time, stacked"),
            Picture(charts.draw_memory(run), "memory by process over time"),
        ],
    )


def _settings(run: LoadRun) -> Section:
    facts = {**run.settings, "processor": run.machine["cpu"], "system": run.machine["system"]}
    return Section("Settings", tables=[Table((), [[name, value] for name, value in facts.items()])])


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
