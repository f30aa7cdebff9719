"""What knowing what is done costs, beside writing it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from vfnet_client.atomic_files import durable_file


@dataclass(frozen=True)
class LedgerCost:
    """Seconds."""

    waited: float
    """In which results waited for a shard to be written; images were scored meanwhile."""
    a_shard: float
    """Of the writing thread: flushing a shard and its name to the disk, and renaming it."""
    shards: int
    starting_again: float
    """The same command on the finished batch: its imports, listing the input again, reading names of shards."""


def ledger_cost(source: Path, output: Path, scratch: Path, url: str) -> LedgerCost:
    """Of a finished batch, by writing its shards again, each durably and plainly in turn."""
    extra, shards = [], sorted((output / "shards").glob("part-*"))
    for path in shards:
        content = path.read_bytes()
        started = time.perf_counter()
        (scratch / "plain").write_bytes(content)
        plain = time.perf_counter()
        with durable_file(scratch / "durable") as file:
            file.write(content)
        extra.append((time.perf_counter() - plain) - (plain - started))
    waited = json.loads((output / "summary.json").read_text())["last_run"]["waited_for_writing_s"]
    command = [sys.executable, "-m", "vfnet", "batch", str(source), f"--output={output}", f"--server={url}"]
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return LedgerCost(waited, median(extra), len(shards), time.perf_counter() - started)
