"""Res2Net backbone (arXiv:1904.01169, version v1d): blocks whose 3x3 convolutions see each other's outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vfnet_runtime.architecture.config import BackboneConfig
from vfnet_runtime.architecture.resnet import EXPANSION, ResNet, conv3x3, shortcut


class Bottle2neck(nn.Module):
    """1x1, a split into `scales` parts with a 3x3 for all but the last, 1x1; mmdet 2.28.2's `Bottle2neck`.

    In a stage's first block the parts are convolved independently; in the others each is added to
    the next before that is convolved. The last part passes as it is, or pooled if the block strides.
    """

    def __init__(self, config: BackboneConfig, in_channels: int, planes: int, stride: int, deform_groups: int) -> None:
        super().__init__()
        self.hierarchical = True
        self.width = math.floor(planes * (config.base_width / config.base_channels))
        self.conv1 = nn.Conv2d(in_channels, self.width * config.scales, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.width * config.scales)
        self.pool = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        parts = range(config.scales - 1)
        self.convs = nn.ModuleList(conv3x3(self.width, stride, deform_groups) for _ in parts)
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in parts)
        self.conv3 = nn.Conv2d(self.width * config.scales, planes * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, planes * EXPANSION, stride, config.avg_down)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, planes * 4, H / stride, W / stride]."""
        identity = x if self.downsample is None else self.downsample(x)
        parts = self.relu(self.bn1(self.conv1(x))).split(self.width, dim=1)
        outs: list[Tensor] = []
        for part, conv, bn in zip(parts, self.convs, self.bns, strict=False):
            source = part + outs[-1] if self.hierarchical and outs else part
            outs.append(self.relu(bn(conv(source))))
        out = torch.cat([*outs, self.pool(parts[-1])], dim=1)
        rectified: Tensor = self.relu(self.bn3(self.conv3(out)) + identity)
        return rectified


class Res2Net(ResNet):
    """Stages, strides and output channels as `ResNet`. Its config sets `deep_stem` and `avg_down`, as v1d."""

    block = Bottle2neck

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        for stage in range(4):
            getattr(self, f"layer{stage + 1}")[0].hierarchical = False
