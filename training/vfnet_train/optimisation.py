"""The optimiser, its parameter groups and its learning rate.

The rate is a function of the step alone, so that a resumed training needs no state for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_train.settings import OptimizerSettings

Group = dict[str, list[Tensor] | float]
STEP_FACTOR = 0.1
"""What mmdet's `step` policy multiplies the rate by (its `gamma`)."""


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW or SGD over what is not frozen; each group's `base_lr` is its rate at a schedule's factor of 1."""
    groups = parameter_groups(network, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, settings.learning_rate)


def parameter_groups(network: nn.Module, settings: OptimizerSettings) -> list[Group]:
    """Biases apart from the rest, by the rules of mmcv's DefaultOptimizerConstructor: those of normalisations, and of
    the convolutions that predict a deformable convolution's offsets, count among the rest."""
    rest: list[Tensor] = []
    biases: list[Tensor] = []

    def add(module: nn.Module, within_deformable: bool) -> None:
        plain = not isinstance(module, (_BatchNorm, nn.GroupNorm)) and not within_deformable
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                (biases if name == "bias" and plain else rest).append(parameter)
        for child in module.children():
            add(child, isinstance(module, ModulatedDeformConv2dPack))

    add(network, False)
    rate, decay = settings.learning_rate, settings.weight_decay
    bias_rate = rate * settings.bias_learning_rate_factor
    return [
        {"params": rest, "lr": rate, "base_lr": rate, "weight_decay": decay},
        {
            "params": biases,
            "lr": bias_rate,
            "base_lr": bias_rate,
            "weight_decay": decay * settings.bias_weight_decay_factor,
        },
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's rate to its base rate times `factor`; the first group's rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])


@dataclass(frozen=True)
class Schedule:
    """Steps count from 0 over the whole training."""

    settings: OptimizerSettings
    epochs: int
    steps_per_epoch: int
    max_steps: int | None = None
    """Of the whole training, whose last epoch may end early; None: no epoch does."""

    @property
    def total_steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_per_epoch if self.max_steps is None else self.max_steps

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
