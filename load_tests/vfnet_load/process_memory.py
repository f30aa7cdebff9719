"""The memory of a process."""

from __future__ import annotations

from pathlib import Path

import psutil


def proportional_set_size(process: psutil.Process) -> int:
    """Bytes: the proportional set size where the kernel tells it, else the resident set; 0 for a process that has gone.

    Of several processes together, pages that they share are counted once.
    """
    try:
        try:
            rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))
        except (OSError, StopIteration):
            return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
