"""Write what follows from the chart's values.yaml: README.md and values.schema.json (`make chart-reference`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vfnet_runtime import latency_buckets

CHART = Path(__file__).parent / "vfnet"
ALLOWED: dict[str, dict[str, Any]] = {
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "build.mode": {"enum": ["init", "job", "none"]},
    "server.autoscaling.kind": {"enum": ["hpa", "keda"]},
    "server.spread": {"enum": ["ScheduleAnyway", "DoNotSchedule", ""]},
    "gateway.spread": {"enum": ["ScheduleAnyway", "DoNotSchedule", ""]},
    "gateway.service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "server.maxUnavailable": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%$"}]},
    "gateway.maxUnavailable": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%$"}]
    },
    "server.autoscaling.refusals": {"type": "number", "exclusiveMinimum": 0},
    "server.autoscaling.imagesInFlight": {"type": "number", "exclusiveMinimum": 0},
    "monitoring.objectives.availability": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "monitoring.objectives.latency": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "monitoring.objectives.latencySeconds": {
        "enum": [latency_buckets.label_of(each) for each in latency_buckets.SECONDS]
    },
    "server.gpus": {"type": "integer", "minimum": 0},
    "checkpoint.source": {"type": "string", "minLength": 1},
}
"""What type and default do not say."""
FREE = {"resources", "podAnnotations", "annotations", "nodeSelector", "affinity", "labels", "prometheusNamespaces"}
"""Kubernetes' own, whose entries are not ours to list."""
SETTINGS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-z]+(-[a-z]+)*$"},
    "additionalProperties": {"type": ["string", "number", "boolean", "array"]},
}


def described(text: str) -> Iterator[tuple[str, str, str]]:
    """Key by dots, its default as YAML in one line, and the comment above it, of every leaf and free map."""
    parents: list[str] = []
    comment: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if match := re.match(r"( *)# (.*)", line):
            comment.append(match[2])
        elif match := re.match(r"( *)([\w-]+):(?: (.*))?$", line):
            depth = len(match[1]) // 2
            parents[depth:] = [match[2]]
            inner = ""
            if match[2] in FREE and not match[3]:
                following = (each.strip() for each in lines[number + 1 :] if each.startswith("  " * (depth + 1)))
                inner = "; ".join(next(following, "") for _ in range(2))
            if (match[3] or inner) and not set(parents[:-1]) & FREE:
                yield ".".join(parents), match[3] or inner, " ".join(comment)
            comment = []
        elif not line:
            comment = []


def schema(values: Any, path: str = "") -> dict[str, Any]:
    """JSON Schema of a part of the values."""
    name = path.rpartition(".")[2]
    if path in ALLOWED:
        return ALLOWED[path]
    if name == "settings":
        return SETTINGS
    if isinstance(values, dict):
        if name in FREE:
            return {"type": "object"}
        inner = {key: schema(each, f"{path}.{key}".lstrip(".")) for key, each in values.items()}
        # Charts of charts set these two.
        more = {} if path else {"global": {"type": "object"}}
        return {"type": "object", "additionalProperties": False, "properties": inner | more}
    if isinstance(values, bool):
        return {"type": "boolean"}
    if isinstance(values, int):
        return {"type": "integer", "minimum": 1}
    return {"type": "array"} if isinstance(values, list) else {"type": "string"}


def reference() -> dict[str, str]:
    """What should stand in the files of the chart, by their names."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    written = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema(yaml.safe_load(text))}
    rows = "\n".join(f"| `{key}` | `{default}` | {meaning} |" for key, default, meaning in described(text))
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    readme = f"""# {chart["name"]}

{chart["description"]}. `docs/kubernetes.md` says how it is used.
`make chart-reference` writes this page from values.yaml.

    helm install vfnet build/helm/vfnet --set image.prefix=registry.example/team/

| value | default | meaning |
|---|---|---|
{rows}
"""
    return {"README.md": readme, "values.schema.json": json.dumps(written, indent=2) + "\n"}


if __name__ == "__main__":
    for name, content in reference().items():
        (CHART / name).write_text(content, encoding="utf-8")
