"""The rules as they are shipped, with every duration in them divided: so an alert over hours is tried in minutes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from vfnet_bench.errors import BenchmarkError
from vfnet_client.bounded_yaml import parse_yaml

FILES = ("objectives.yml", "service_levels.yml", "alerts.yml")
"""Of build/docker/prometheus."""
_RANGE = re.compile(r"\[(\w+)\]")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(duration: str) -> float:
    """Of a duration of one unit, as the rules have them: `5m`. Raises ValueError for another."""
    match = re.fullmatch(r"(\d+)([smhd])", duration)
    if match is None:
        raise ValueError(f"{duration!r} is no duration of one unit")
    return int(match[1]) * _SECONDS[match[2]]


def scaled(document: Any, factor: float) -> Any:
    """A rule file's content whose ranges and waits are `factor` times as short; names stay, so a `1h` is one no more.

    What is evaluated each so often is evaluated each second instead. An objective's values stay.
    """

    def shorter(duration: str) -> str:
        return f"{max(1, round(1000 * seconds_of(duration) / factor))}ms"

    groups = []
    for group in document["groups"]:
        rules = []
        for rule in group["rules"]:
            changed = dict(rule, expr=_RANGE.sub(lambda found: f"[{shorter(found[1])}]", rule["expr"]))
            if "for" in rule:
                changed["for"] = shorter(rule["for"])
            rules.append(changed)
        groups.append({"name": group["name"], "interval": "1s", "rules": rules})
    return {"groups": groups}


def with_latency_objective(document: Any, bound: str) -> Any:
    """The content of objectives.yml with another limit of latency, a bound of the histograms as they write it."""
    for group in document["groups"]:
        for rule in group["rules"]:
            if rule["record"] == "vfnet:objective:seconds":
                rule["expr"], rule["labels"] = f"vector({float(bound):g})", {"le": bound}
    return document


def write_scaled(rules: Path, target: Path, factor: float, latency: str) -> list[Path]:
    """All `FILES` of the folder `rules`, scaled, into `target`, as JSON, which is YAML too; what was written.

    Raises:
        BenchmarkError: one is not there, or is no YAML.
    """
    written = []
    for name in FILES:
        try:
            document = parse_yaml((rules / name).read_text())
        except (OSError, ValueError) as error:
            raise BenchmarkError(f"{rules / name} holds no rules of Prometheus: {error}") from error
        document = scaled(with_latency_objective(document, latency) if name == FILES[0] else document, factor)
        (target / name).write_text(json.dumps(document, indent=1))
        written.append(target / name)
    return written
