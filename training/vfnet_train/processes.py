"""One process or many: what torchrun started, and what its processes tell each other."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from vfnet_train.errors import FinetuneError

T = TypeVar("T")
_TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for the others: rank 0 may read and check the data meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the training."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each number summed over all processes; all get the same."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank; all get the same. Values are pickled."""
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return [item for item in values if item is not None]

    def wait(self) -> None:
        """Until all are here."""
        if self.world_size > 1:
            distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through alone, then the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


@contextmanager
def started_processes(device: str | None) -> Iterator[Processes]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK in the environment), or be the only one.

    Args:
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if there is one, each process its own.

    Raises:
        FinetuneError: there is no such device.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _choose_device(device, int(os.environ.get("LOCAL_RANK", "0")), world_size)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        yield Processes(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes(distributed.get_rank(), world_size, chosen)
    finally:
        distributed.destroy_process_group()


def _choose_device(name: str | None, local_rank: int, world_size: int) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise FinetuneError(f"there is no device {name!r}; devices are cpu, cuda, cuda:1 and so on") from None
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank if world_size > 1 else 0)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise FinetuneError(f"device {device} is not here: torch {torch.__version__} sees {found} CUDA devices")
    if device.type not in ("cpu", "cuda"):
        raise FinetuneError(f"training on {name!r} is not supported; devices are cpu, cuda, cuda:1 and so on")
    return device
