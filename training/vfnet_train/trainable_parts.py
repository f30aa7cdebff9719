"""What of the network learns: frozen stages and batch normalisation as MMDetection 2.28.2's `ResNet` treats them."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vfnet_runtime.architecture.vfnet import VFNet

STEM = ("conv1", "bn1", "stem")
"""Names of the stem's modules; a deep stem is one of its own."""


def frozen_modules(network: VFNet, frozen_stages: int) -> list[nn.Module]:
    """The stem if `frozen_stages` is 0 or more, and so many stages."""
    if frozen_stages < 0:
        return []
    names = [*STEM, *(f"layer{stage}" for stage in range(1, frozen_stages + 1))]
    return [getattr(network.backbone, name) for name in names if hasattr(network.backbone, name)]


def freeze(network: VFNet, frozen_stages: int) -> None:
    """No gradients for the frozen modules."""
    for module in frozen_modules(network, frozen_stages):
        module.requires_grad_(False)


def train_mode(network: VFNet, frozen_stages: int, norm_eval: bool) -> None:
    """Training mode but for what mmdet keeps in evaluation mode: frozen modules, and with `norm_eval` the backbone's
    batch normalisation."""
    network.train()
    for module in frozen_modules(network, frozen_stages):
        module.eval()
    if norm_eval:
        for module in network.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
