"""The temporary folder of one server, and what killed ones left of theirs.

A folder is locked by the `vfnet serve` that made it, and the kernel lets go of the lock when that one ends, however it
ends: so what is not locked has no owner any more, also where process numbers say nothing, as between containers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

_PREFIX = "vfnet-serve-"
_LOCK, _REGIONS = "lock", "shared-memory-prefix"
_SHARED_MEMORY = Path("/dev/shm")


class ScratchFolder:
    """A folder of this account's, removed with the shared memory of its name when the context ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.shared_memory_prefix = f"vfnet-{os.getpid()}-{secrets.token_hex(4)}-"
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / _REGIONS).write_text(self.shared_memory_prefix)

    def __enter__(self) -> ScratchFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove_regions(self.shared_memory_prefix)
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned() -> int:
    """Remove what servers of this account left that were killed; how many folders that were."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
                continue
            removed += _remove_if_abandoned(folder)
    return removed


def _remove_if_abandoned(folder: Path) -> bool:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)  # none yet: it is just being made
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        prefix = (folder / _REGIONS).read_text()
        if prefix.startswith("vfnet-") and "/" not in prefix:
            _remove_regions(prefix)
        shutil.rmtree(folder)
        return True
    finally:
        os.close(lock)


def _remove_regions(prefix: str) -> None:
    for region in _SHARED_MEMORY.iterdir():
        if region.name.startswith(prefix):
            with contextlib.suppress(OSError):
                region.unlink(missing_ok=True)
