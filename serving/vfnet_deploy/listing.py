"""What is deployed, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vfnet_client.model_names import deployment_name
from vfnet_deploy.running_server import RunningServer
from vfnet_model.manifest import Manifest

COLUMNS = ("name", "serves", "checkpoint", "engine", "precision", "memory_bytes", "since", "problem")


def deployments(server: RunningServer) -> list[dict[str, Any]]:
    """One record for each deployment that is loaded, leaves or could not be loaded; keys as `COLUMNS`.

    Raises:
        DeployError: the server says nothing of them.
    """
    memory, wanted = server.memory(), server.folder.read()
    found = []
    for model, state in server.state().models.items():
        of_model = wanted.models.get(model)
        kept = None if of_model is None else of_model.kept
        for number in sorted({*state.loaded, *state.leaving, *state.failed}):
            build = of_model.build(number) if of_model is not None else None
            if build is not None:
                what = {"checkpoint": build.checkpoint, "engine": build.engine, "precision": build.precision}
            else:
                what = _of_repository(server, model) if number == 1 else {}
            name = deployment_name(model, number)
            found.append(
                dict.fromkeys(COLUMNS)
                | what
                | {
                    "name": name,
                    "serves": _role(number, state.live, state.leaving, state.failed, kept),
                    "memory_bytes": memory.get(name),
                    "since": None if build is None else build.created,
                    "problem": state.failed.get(number),
                }
            )
    return found


def table(records: list[dict[str, Any]]) -> str:
    """For a person."""
    rows = [("name", "serves", "memory", "checkpoint"), *(_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _row(record: dict[str, Any]) -> tuple[str, str, str, str]:
    memory = "" if record["memory_bytes"] is None else f"{record['memory_bytes'] / 2**30:.2f} GiB"
    return record["name"], record["serves"], memory, ", ".join(_words(record))


def _words(record: dict[str, Any]) -> Iterator[str]:
    for key in ("checkpoint", "engine", "precision"):
        if record[key] is not None:
            yield record[key]
    if record["since"] is not None:
        yield f"since {record['since']}"
    if record["problem"] is not None:
        yield f"NOT SERVED: {record['problem']}"


def _role(number: int, live: int, leaving: tuple[int, ...], failed: Any, kept: int | None) -> str:
    if number == live:
        return "live"
    if number in failed:
        return "failed"
    if number in leaving:
        return "leaving"
    return "kept" if number == kept else "on trial"


def _of_repository(server: RunningServer, model: str) -> dict[str, Any]:
    manifest = Manifest.read(server.folder.repository, model)
    if manifest is None:
        return {}
    options = manifest.options
    return {"checkpoint": manifest.checkpoint, "engine": options.engine, "precision": options.precision}
