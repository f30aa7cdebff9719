"""ResNeXt backbone (arXiv:1611.05431): a ResNet whose 3x3 convolutions are grouped."""

from __future__ import annotations

import math

import torch
from torch import nn

from vfnet_runtime.architecture.config import BackboneConfig
from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_runtime.architecture.resnet import Bottleneck, ResNet


class GroupedBottleneck(Bottleneck):
    """A bottleneck whose 3x3 convolution, deformable or not, has `groups` groups."""

    @staticmethod
    def width(config: BackboneConfig, planes: int) -> int:
        """`groups` times `base_width`, doubling from stage to stage; with one group, ResNet's."""
        if config.groups == 1:
            return planes
        return math.floor(planes * (config.base_width / config.base_channels)) * config.groups

    @staticmethod
    def middle(config: BackboneConfig, width: int, stride: int, deform_groups: int) -> nn.Module:
        """The 3x3 convolution."""
        if deform_groups:
            return GroupedModulatedDeformConv2dPack(width, stride, config.groups, deform_groups)
        return nn.Conv2d(width, width, 3, stride, 1, groups=config.groups, bias=False)


class GroupedModulatedDeformConv2dPack(ModulatedDeformConv2dPack):
    """3x3 DCNv2 whose filters see their own group's channels; offsets are predicted from all of them."""

    def __init__(self, channels: int, stride: int, groups: int, deform_groups: int) -> None:
        super().__init__(channels, channels, 3, stride, 1, deform_groups)
        # The operator reads the number of groups off the shape of the weight.
        self.weight = nn.Parameter(torch.empty(channels, channels // groups, 3, 3))
        bound = (channels // groups * 3**2) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)


class ResNeXt(ResNet):
    """Stages, strides and output channels as `ResNet`."""

    block = GroupedBottleneck
