"""What this machine has for serving."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vfnet_runtime.processor_cores import available_cores


@dataclass(frozen=True)
class Machine:
    """Processor cores and GPUs that this process may use."""

    cores: int
    gpus: int = 0

    def __str__(self) -> str:
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'}"
        return f"{cores} and {self.gpus or 'no'} GPU{'s' if self.gpus > 1 else ''}"


def this_machine(devices: Path = Path("/dev"), visible: str | None = None) -> Machine:
    """Cores as the models count them; GPUs by NVIDIA's device files, and what is `visible` (CUDA_VISIBLE_DEVICES)."""
    cores = available_cores()
    gpus = len(list(devices.glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    if visible is not None:
        gpus = min(gpus, len([each for each in visible.split(",") if each.strip() not in ("", "-1")]))
    return Machine(cores, gpus)
