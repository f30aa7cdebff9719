"""The optimiser and its parameter groups."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_train.settings import OptimizerSettings

Group = dict[str, list[Tensor] | float]


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
