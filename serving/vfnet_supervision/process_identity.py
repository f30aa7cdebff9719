"""What tells one process from another that had, or will have, its number."""

from __future__ import annotations

from pathlib import Path


def process_identity(pid: int) -> str:
    """The boot of the machine and the clock tick in it at which the process began, which a set clock does not move.

    Raises:
        OSError: there is no such process.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # proc(5): a name in brackets, which may hold anything, and then the third field; `starttime` is the 22nd.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{boot} {fields[22 - 3]}"
