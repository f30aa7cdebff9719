"""Memory of this machine, or of the container, that is free to be used."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUPS = (
    # What it may use, what it uses, and what of that the kernel gives up at once: control groups 2, and 1.
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def free_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that programs here can still have without another losing any."""
    free = int(psutil.virtual_memory().available)
    for limit, usage, statistics, name in _GROUPS:
        try:
            most = (groups / limit).read_text().strip()
            if most == "max":
                continue
            figures = dict(line.split() for line in (groups / statistics).read_text().splitlines())
            used = int((groups / usage).read_text()) - int(figures.get(name, 0))
            free = min(free, int(most) - used)
        except (OSError, ValueError):
            continue
    return max(free, 0)
