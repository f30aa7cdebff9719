"""The learning rate as a function of the step alone, so that a resumed training needs no state for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vfnet_train.settings import OptimizerSettings

STEP_FACTOR = 0.1
"""What mmdet's `step` policy multiplies the rate by (its `gamma`)."""


@dataclass(frozen=True)
class Schedule:
    """Steps count from 0 over the whole training."""

    settings: OptimizerSettings
    epochs: int
    steps_per_epoch: int

    @property
    def total_steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_per_epoch

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at a step, from 0 to 1."""
        warmup = self.settings.warmup_steps
        regular = self._regular(step)
        if step >= warmup:
            return regular
        # mmcv's LrUpdaterHook.get_warmup_lr, warmup='linear'
        return regular * (1 - (1 - step / warmup) * (1 - self.settings.warmup_ratio))

    def _regular(self, step: int) -> float:
        name = self.settings.schedule
        if name == "constant":
            return 1.0
        if name == "step":
            epoch = step // self.steps_per_epoch
            return STEP_FACTOR ** sum(epoch >= milestone for milestone in self.step_epochs)
        warmup = self.settings.warmup_steps
        # Hugging Face's get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup, which AzureML runs
        done = max(0, step - warmup) / max(1, self.total_steps - warmup)
        return 1 - done if name == "warmup_linear" else 0.5 * (1 + math.cos(math.pi * done))

    @property
    def step_epochs(self) -> tuple[int, ...]:
        """When the schedule `step` lowers the rate: as given, else after 8 and 11 of 12, as mmdet's 1x and 2x."""
        if self.settings.step_epochs:
            return self.settings.step_epochs
        return tuple(dict.fromkeys(max(1, round(self.epochs * share)) for share in (8 / 12, 11 / 12)))
