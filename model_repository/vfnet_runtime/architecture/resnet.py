"""ResNet backbone with bottleneck blocks, optionally with modulated deformable convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from vfnet_runtime.architecture.config import BackboneConfig
from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack

STAGE_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks per stage by depth: table 1 of arXiv:1512.03385."""
EXPANSION = 4
"""A bottleneck's output channels over the channels of its stage (`planes`)."""


def conv3x3(channels: int, stride: int, deform_groups: int) -> nn.Module:
    """3x3 without bias; DCNv2 if `deform_groups` is not 0."""
    if deform_groups:
        return ModulatedDeformConv2dPack(channels, channels, 3, stride, 1, deform_groups)
    return nn.Conv2d(channels, channels, 3, stride, 1, bias=False)


class Bottleneck(nn.Module):
    """1x1, 3x3 (deformable if `deform_groups`), 1x1, each with batch norm; the sum with the shortcut rectified."""

    def __init__(self, config: BackboneConfig, in_channels: int, planes: int, stride: int, deform_groups: int) -> None:
        super().__init__()
        first_stride, middle_stride = (1, stride) if config.style == "pytorch" else (stride, 1)
        width = self.width(config, planes)
        self.conv1 = nn.Conv2d(in_channels, width, 1, first_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = self.middle(config, width, middle_stride, deform_groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, planes * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, planes * EXPANSION, stride, config.avg_down)

    @staticmethod
    def width(config: BackboneConfig, planes: int) -> int:  # noqa: ARG004 - ResNeXt's depends on it
        """Channels of the 3x3 convolution."""
        return planes

    @staticmethod
    def middle(config: BackboneConfig, width: int, stride: int, deform_groups: int) -> nn.Module:  # noqa: ARG004
        """The 3x3 convolution."""
        return conv3x3(width, stride, deform_groups)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, planes * 4, H / stride, W / stride]."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        rectified: Tensor = self.relu(self.bn3(self.conv3(out)) + identity)
        return rectified


class ResNet(nn.Module):
    """Four stages at strides 4, 8, 16 and 32; all four are returned, finest first.

    With `deep_stem` and `avg_down` it is ResNetV1d (arXiv:1812.01187).
    """

    block: type[nn.Module] = Bottleneck
    """What the stages are made of; its arguments are those of `Bottleneck`."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        if config.deep_stem:
            self.stem = deep_stem(config.stem_channels)
        else:
            self.conv1 = nn.Conv2d(3, config.stem_channels, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(config.stem_channels)
            self.relu = nn.ReLU(inplace=True)
        self.deep_stem = config.deep_stem
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        in_channels = config.stem_channels
        for stage, (blocks, with_dcn) in enumerate(zip(STAGE_BLOCKS[config.depth], config.stage_with_dcn, strict=True)):
            planes = config.base_channels * 2**stage
            stride = 1 if stage == 0 else 2
            deform_groups = config.deform_groups if with_dcn else 0
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(self.block(config, in_channels, planes, stride if block == 0 else 1, deform_groups))
                in_channels = planes * EXPANSION
            setattr(self, f"layer{stage + 1}", layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised image [N, 3, H, W] -> four maps, channels base x (4, 8, 16, 32)."""
        x = self.maxpool(self.stem(x) if self.deep_stem else self.relu(self.bn1(self.conv1(x))))
        feature_maps = []
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
            feature_maps.append(x)
        return feature_maps


def deep_stem(channels: int) -> nn.Sequential:
    """[N, 3, H, W] -> [N, channels, H / 2, W / 2] by three 3x3 convolutions, the first two half as wide."""
    half = channels // 2
    stem = nn.Sequential()
    for in_channels, out_channels, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
        stem.append(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False))
        stem.append(nn.BatchNorm2d(out_channels))
        stem.append(nn.ReLU(inplace=True))
    return stem


def shortcut(in_channels: int, out_channels: int, stride: int, avg_down: bool) -> nn.Module | None:
    """What a block adds in place of its input; None where the input itself fits."""
    if stride == 1 and in_channels == out_channels:
        return None
    # The pooling stands there even where it does nothing (stride 1): mmdet's parameter names count it.
    pooling = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)] if avg_down else []
    return nn.Sequential(
        *pooling,
        nn.Conv2d(in_channels, out_channels, 1, 1 if avg_down else stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
