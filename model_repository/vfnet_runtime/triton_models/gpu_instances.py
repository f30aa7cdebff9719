"""Detectors on GPUs that cannot begin: what they say of it, for `vfnet serve` to act on, and who shares a GPU.

Each notes in $VFNET_ACTIVITY_DIR which GPU it is on. So one that takes another's place knows of it: their memory must
suffice for both, or the other has to go first. Without the variable, under a stock server, nothing is noted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfnet_runtime.proc_files import stat_fields

UNUSABLE = "GPU {} cannot be used"
"""Of those that the server sees, counted from 0. `vfnet serve` looks for it: serving/vfnet_serve/gpus.py."""
NO_ROOM = "does not hold this detector beside the one that serves"
"""`vfnet serve` looks for it, too."""
_SICK = ("CUDA error", "CUDA driver", "CUDA-capable device", "No CUDA GPUs", "NVML", "cuDNN error", "CUBLAS_STATUS")


@contextmanager
def said_of_gpu(number: int, *, has_neighbour: bool) -> Iterator[None]:
    """What fails on the GPU of this number is raised in words that `vfnet serve` understands.

    Raises:
        RuntimeError: of the GPU, or its memory.
        Exception: anything else, as it is.
    """
    try:
        yield
    except Exception as error:
        from vfnet_runtime.engines.gpu_memory import is_out_of_memory  # it imports torch, and `vfnet serve` reads this

        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if has_neighbour and is_out_of_memory(error):
            raise RuntimeError(f"GPU {number} {NO_ROOM}: {first}") from error
        if is_out_of_memory(error):
            first += (
                "; fewer instances (--detector-instances 1) or half precision (vfnet build --precision fp16) need less"
            )
        if is_out_of_memory(error) or any(words in str(error) for words in _SICK):
            raise RuntimeError(f"{UNUSABLE.format(number)}: {first}") from error
        raise


@dataclass(frozen=True)
class GpuRecords:
    """Which processes are on which GPU."""

    directory: Path | None

    @classmethod
    def of_this_server(cls) -> GpuRecords:
        """Those of $VFNET_ACTIVITY_DIR."""
        folder = os.environ.get("VFNET_ACTIVITY_DIR")
        return cls(Path(folder) / "gpus" if folder else None)

    def note(self, gpu: str, instance: str) -> bool:
        """This process, an instance of this name, is on the GPU.

        Returns:
            Whether another is there that will go when this one serves, or that stays and does not know of this one: one
            of the same name, or of another model. Instances of one model that a person asked for are no neighbours.
        """
        if self.directory is None:
            return False
        self.directory.mkdir(exist_ok=True)
        found = False
        for path in self.directory.iterdir():
            if not _is_alive(path.name):
                path.unlink(missing_ok=True)
            elif path.name != str(os.getpid()):
                found = found or _is_neighbour(path, gpu, instance)
        (self.directory / str(os.getpid())).write_text(json.dumps({"gpu": gpu, "instance": instance}))
        return found

    def forget(self) -> None:
        """This process leaves its GPU."""
        if self.directory is not None:
            (self.directory / str(os.getpid())).unlink(missing_ok=True)


def _is_neighbour(path: Path, gpu: str, instance: str) -> bool:
    try:
        record = json.loads(path.read_text())
        other, others_gpu = str(record["instance"]), record["gpu"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    model, others_model = (name.rsplit("_", 2)[0] for name in (instance, other))
    return bool(others_gpu == gpu and (other == instance or others_model != model))


def _is_alive(pid: str) -> bool:
    try:
        state = stat_fields(Path("/proc", pid, "stat").read_text(errors="replace"))[0]
    except (OSError, IndexError):
        return False
    return state != "Z"
