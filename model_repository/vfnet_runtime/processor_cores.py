"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cores(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores by affinity, less where a cgroup (v2 `cpu.max`, v1 `cpu.cfs_quota_us`) allows less; at least 1."""
    cores = float(len(os.sched_getaffinity(0)))
    for quota in (_quota_v2(cgroup_root), _quota_v1(cgroup_root)):
        if quota is not None:
            cores = min(cores, quota)
    return max(1, math.floor(cores))


def _quota_v2(root: Path) -> float | None:
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(root: Path) -> float | None:
    try:
        quota = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((root / "cpu" / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
