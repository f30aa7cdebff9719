"""Where a training is: all that a killed one needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from vfnet_client.atomic_files import durable_file
from vfnet_model import full_disk
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.errors import FinetuneError
from vfnet_train.moving_average import MovingAverage

STATE_FILE = "training_state.pth"


@dataclass
class Position:
    """How far a training is. An epoch whose steps are done still has its evaluation and its checkpoint before it."""

    epoch: int = 0
    """Epochs finished, with evaluation and checkpoint."""
    step_in_epoch: int = 0
    """Steps done of the current one."""
    step: int = 0
    """Steps done altogether."""
    loss_sums: dict[str, float] = field(default_factory=dict)
    """Over the steps of the current epoch."""
    best_figure: float = -1.0
    """Of the metric that the best checkpoint is chosen by."""
    best_epoch: int = 0
    evaluations_since_best: int = 0
    seconds: float = 0.0
    """Of training, over all runs."""

    def begin_next_epoch(self) -> None:
        """The current one is finished."""
        self.epoch += 1
        self.step_in_epoch = 0
        self.loss_sums = {}


@dataclass(frozen=True)
class TrainingState:
    """The parts of a running training that change."""

    position: Position
    network: VFNet
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    scaler: torch.amp.GradScaler
    """Of losses in `fp16`."""

    def save(self, folder: Path) -> None:
        """Write `STATE_FILE` whole."""
        content: dict[str, object] = {
            "position": asdict(self.position),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
        }
        save_durably(folder / STATE_FILE, content)

    def restore(self, folder: Path) -> bool:
        """Take up what `save` wrote; whether there was anything.

        Raises:
            FinetuneError: the file cannot be read.
        """
        path = folder / STATE_FILE
        if not path.exists():
            return False
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.average is not None:
                self.average.network.load_state_dict(content["average"])
            self.scaler.load_state_dict(content["scaler"])
            torch.set_rng_state(content["random"])
        except Exception as error:  # damaged files make torch raise nearly anything
            raise FinetuneError(
                f"{path} cannot be read ({type(error).__name__}: {error}); remove it to begin this training anew"
            ) from None
        for name, value in content["position"].items():
            setattr(self.position, name, value)
        return True


def save_durably(path: Path, content: Mapping[str, object]) -> None:
    """`torch.save` beside, flushed to the disk, then renamed: the old file or the new one, never half of it."""
    # Within: the disk is asked before what was written of the file is removed, which makes room.
    with durable_file(path) as file, full_disk.told_as_oserror(path.parent):
        torch.save(dict(content), file)
