"""What this process has in memory, as Linux counts it."""

from __future__ import annotations

import contextlib
from pathlib import Path


def resident_bytes(name: str) -> int | None:
    """`VmRSS`, what this process has in memory, or `VmHWM`, the most it had; None where Linux does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return None


def forget_peak() -> None:
    """Let `VmHWM` count from now on. Where that is not allowed, it may be of before, which errs on the safe side."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5)
