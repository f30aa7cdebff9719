"""The whole network: backbone, neck, head."""

from __future__ import annotations

from torch import Tensor, nn

from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.fpn import FPN
from vfnet_runtime.architecture.res2net import Res2Net
from vfnet_runtime.architecture.resnet import ResNet
from vfnet_runtime.architecture.resnext import ResNeXt
from vfnet_runtime.architecture.vfnet_head import VFNetHead

BACKBONES: dict[str, type[ResNet]] = {"ResNet": ResNet, "ResNeXt": ResNeXt, "Res2Net": Res2Net}
"""By `BackboneConfig.type`."""


class VFNet(nn.Module):
    """Normalised pixels to dense predictions; `state_dict()` keys are mmdet's."""

    def __init__(self, config: VFNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = BACKBONES[config.backbone.type](config.backbone)
        self.neck = FPN(config.neck)
        self.bbox_head = VFNetHead(config.head)

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """[N, 3, H, W] normalised, zero-padded to a multiple of 32 -> see `VFNetHead.forward`."""
        outputs: tuple[list[Tensor], list[Tensor], list[Tensor]] = self.bbox_head(self.neck(self.backbone(images)))
        return outputs
