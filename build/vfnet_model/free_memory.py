"""Memory of this machine, or of the container, that is free to be used."""

from __future__ import annotations

import os
from pathlib import Path

_GROUPS = (
    # What it may use, what it uses, and what of that the kernel gives up at once: control groups 2, and 1.
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def free_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that programs here can still have without another losing any."""
    free = _available()
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


def _available(statistics: Path = Path("/proc/meminfo")) -> int:
    """Of the machine: what Linux reckons can be had without swapping, elsewhere what nobody has."""
    try:
        lines = dict(line.split(":", 1) for line in statistics.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
