"""A network in half precision whose types are all written down, for exporters: float32 where half would cost boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vfnet_build.engines.folded_batch_norms import fold_batch_norms
from vfnet_runtime.architecture.deform_conv import DeformConv2d, ModulatedDeformConv2dPack
from vfnet_runtime.architecture.vfnet import VFNet


class Float32Island(nn.Module):
    """A module that computes in float32 amid half precision, and gives back what it was given, or float32 on demand."""

    def __init__(self, module: nn.Module, *, stay_float32: bool = False) -> None:
        super().__init__()
        self.module, self.stay_float32 = module, stay_float32

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """As the module itself."""
        out: Tensor = self.module(x.float(), *(other.float() for other in others))
        return out if self.stay_float32 else out.to(x.dtype)


class HalfInput(nn.Module):
    """A backbone that takes the float32 image."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x: Tensor) -> list[Tensor]:
        """As the backbone itself."""
        maps: list[Tensor] = self.module(x.to(self.dtype))
        return maps


def use_half_precision(network: VFNet, dtype: torch.dtype) -> None:
    """Convert `network` in place, before `mask_padding`.

    Islands are deformable convolutions, whose sampling points half precision would move by hundredths of a cell, the
    two convolutions whose output is exponentiated into distances, and the one whose output are logits: suppression
    would choose otherwise between boxes that score alike. Statistics of group norms are float32 anyway; batch norms
    are folded before.
    """
    fold_batch_norms(network)
    network.to(dtype)
    _make_islands(network)
    head = network.bbox_head
    for name in ("vfnet_reg", "vfnet_reg_refine", "vfnet_cls"):
        setattr(head, name, Float32Island(getattr(head, name).float(), stay_float32=True))
    head.scales.float()
    head.scales_refine.float()
    network.backbone = HalfInput(network.backbone, dtype)  # type: ignore[assignment]


def _make_islands(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, (DeformConv2d, ModulatedDeformConv2dPack)):
            setattr(module, name, Float32Island(child.float()))
        else:
            _make_islands(child)
