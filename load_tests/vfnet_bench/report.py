"""What every benchmark ends with: tables for people, JSON for programs, and the command that makes both again."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from vfnet_bench.measurement import Measurement, quartiles
from vfnet_client.atomic_files import write_whole
from vfnet_load.machine import describe_machine


def publish(text: str, figures: Mapping[str, Any], path: Path | None) -> None:
    """Print a result and the command that makes it again; write its figures where a file is named.

    Args:
        text: tables, and what is to be said of them.
        figures: JSON values; see `write_figures`.
    """
    print(f"{text}\n\n`{shlex.join(command())}`", flush=True)
    if path is not None:
        write_figures(path, figures)


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Write them as JSON, beside `date`, `command` and `machine` where they do not have these themselves."""
    origin = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(),
        "machine": describe_machine(),
    }
    write_whole(path, json.dumps({**origin, **figures}, indent=2, ensure_ascii=False).encode() + b"\n")


def command() -> list[str]:
    """What was typed, as `vfnet bench NAME` however it was started."""
    words = sys.argv[1:]
    return ["vfnet", *([] if words[:1] == ["bench"] else ["bench"]), *words]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[int] = (0,)) -> str:
    """A Markdown table, its columns as wide as they need to be.

    Args:
        words: columns that hold words, and stand on the left; the others hold numbers.
    """
    body = [head, *rows]
    widths = [max(3, *(len(row[column]) for row in body)) for column in range(len(head))]
    rules = ["-" * width if column in words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    cells = [
        [cell.ljust(width) if column in words else cell.rjust(width)
         for column, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in body
    ]  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rules, *cells[1:]))


def measurement_table(measurements: Sequence[Measurement]) -> str:
    """A row for each: median, quartiles, target and whether the median keeps it."""
    rows = []
    for measurement in measurements:
        spread, met = quartiles(measurement.values), measurement.is_met()
        unit = f" {measurement.unit}" if measurement.unit else ""
        many = len(measurement.values) > 1
        rows.append(
            (
                measurement.name,
                f"{spread.median:.3f}{unit}",
                f"{spread.lower:.3f} to {spread.upper:.3f}" if many else "",
                f"{measurement.target}{unit}" if measurement.target else "",
                "" if met is None else "met" if met else "MISSED",
            )
        )
    return table(("", "median", "quartiles", "target", ""), rows, words=(0, 4))


def median_and_range(values: Sequence[float], unit: str = "") -> str:
    """Of the rounds: the median; in parentheses the lowest and the highest, where there are several."""
    spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
    return f"{median(values):.3g}{spread} {unit}".rstrip()
