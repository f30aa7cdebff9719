"""ResNet backbone with bottleneck blocks, optionally with modulated deformable convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from vfnet_build.architecture.config import BackboneConfig
from vfnet_build.architecture.deform_conv import ModulatedDeformConv2dPack

STAGE_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks per stage by depth: table 1 of arXiv:1512.03385."""


class Bottleneck(nn.Module):
    """1x1, 3x3 (deformable if `deform_groups`), 1x1, each with batch norm; the sum with the input rectified."""

    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int, style: str, deform_groups: int) -> None:
        super().__init__()
        first_stride, middle_stride = (1, stride) if style == "pytorch" else (stride, 1)
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, 1, first_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2: nn.Module = (
            ModulatedDeformConv2dPack(planes, planes, 3, middle_stride, 1, deform_groups)
            if deform_groups
            else nn.Conv2d(planes, planes, 3, middle_stride, 1, bias=False)
        )
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, planes * 4, H / stride, W / stride]."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        rectified: Tensor = self.relu(self.bn3(self.conv3(out)) + identity)
        return rectified


class ResNet(nn.Module):
    """Four stages at strides 4, 8, 16 and 32; all four are returned, finest first."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.stem_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.stem_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        in_channels = config.stem_channels
        for stage, (blocks, with_dcn) in enumerate(zip(STAGE_BLOCKS[config.depth], config.stage_with_dcn, strict=True)):
            planes = config.base_channels * 2**stage
            stride = 1 if stage == 0 else 2
            deform_groups = config.deform_groups if with_dcn else 0
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(Bottleneck(in_channels, planes, stride if block == 0 else 1, config.style, deform_groups))
                in_channels = planes * Bottleneck.expansion
            setattr(self, f"layer{stage + 1}", layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised image [N, 3, H, W] -> four maps, channels base x (4, 8, 16, 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        feature_maps = []
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
            feature_maps.append(x)
        return feature_maps
