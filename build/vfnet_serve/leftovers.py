"""What a `vfnet serve` that was killed has left: its scratch folder and its models' shared memory."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

SCRATCH_PREFIX = "vfnet-serve-"
"""Of the folder in the temporary directory: then the process number, and what makes the name new."""
_SCRATCH = re.compile(rf"{SCRATCH_PREFIX}(\d+)-\w+")
_REGION = re.compile(r"vfnet-(\d+)-.*")
_SHARED_MEMORY = Path("/dev/shm")


def scratch_prefix() -> str:
    """For a scratch folder of this process."""
    return f"{SCRATCH_PREFIX}{os.getpid()}-"


def remove_leftovers(temporary: Path | None = None, shared_memory: Path = _SHARED_MEMORY) -> list[Path]:
    """Remove what processes of this account that are no more have left; what was removed.

    Their numbers are in the names. Where a number has gone to another process since, what it stands for stays.

    Args:
        temporary: None: where temporary files are made.
    """
    removed = []
    for folder, name in ((temporary or Path(tempfile.gettempdir()), _SCRATCH), (shared_memory, _REGION)):
        for path in folder.glob("vfnet-*"):
            match = name.fullmatch(path.name)
            if match is None or Path(f"/proc/{match[1]}").exists():
                continue
            try:
                if path.lstat().st_uid != os.geteuid():
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed.append(path)
            except OSError:  # another start removes it just now, or it is gone
                continue
    return removed
