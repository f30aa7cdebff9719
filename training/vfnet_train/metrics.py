"""The figures of a training, as lines of JSON: some steps' losses, each epoch's means and its evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import open_inside, write_inside

METRICS_FILE = "metrics.jsonl"

Record = dict[str, Any]


class Metrics:
    """Lines are appended at once. `kind` is `step` or `epoch`; both carry `epoch`, counted from 1, and `step`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS_FILE

    def begin(self, step: int, epochs: int) -> None:
        """Forget what lies behind the point a training goes on from: it will come again.

        Args:
            step: steps done.
            epochs: epochs finished.
        """
        kept = [r for r in self.read() if (r["epoch"] <= epochs if r["kind"] == "epoch" else r["step"] <= step)]
        write_inside(self._path, b"".join(_line(record) for record in kept))

    def add(self, record: Record) -> None:
        """Append one record."""
        with open_inside(self._path, append=True) as file:
            file.write(_line(record))

    def read(self) -> list[Record]:
        """All records. A last line that a kill cut short is left out."""
        if not self._path.exists():
            return []
        records = []
        for line in self._path.read_bytes().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"
