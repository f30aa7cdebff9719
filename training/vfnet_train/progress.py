"""Shows how a training goes: losses beside what `vfnet_client.progress` shows."""

from __future__ import annotations

from vfnet_client.progress import Progress


class TrainingProgress(Progress):
    """Steps of a training that has done `done` of them already."""

    def __init__(self, total_steps: int, steps_per_epoch: int, done: int, shown: bool) -> None:
        super().__init__(
            "training",
            total_steps,
            "step",
            before=done,
            speaker="vfnet finetune",
            shown=shown,
            line_seconds=30.0,
            tells_ends=True,
            keeps_bar=True,
        )
        self._epochs, self._per_epoch = -(-total_steps // steps_per_epoch), steps_per_epoch

    def finish_step(self, losses: dict[str, float], learning_rate: float) -> None:
        """One more step is done."""
        is_first = self.advanced == 0
        figures = {"loss": f"{sum(losses.values()):.3f}", **{name: f"{value:.3f}" for name, value in losses.items()}}
        epoch = -(-(self._done + 1) // self._per_epoch)
        self.describe(f"epoch {epoch} of {self._epochs}", figures | {"lr": f"{learning_rate:.2g}"})
        self.advance()
        if is_first:
            self.tell()
            self.restart_clock()  # it starts up a lot
