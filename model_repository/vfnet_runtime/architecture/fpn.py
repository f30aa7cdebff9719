"""Feature pyramid network (arXiv:1612.03144) with extra levels, as mmdet 2.28.2's `FPN`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vfnet_runtime.architecture.config import NeckConfig


class ConvModule(nn.Module):
    """A convolution under the name `conv`: mmcv's wrapper, kept so that parameter names agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / stride, W / stride]."""
        out: Tensor = self.conv(x)
        return out


class FPN(nn.Module):
    """Lateral 1x1, top-down nearest upsampling, 3x3 outputs, then stride-2 convolutions for the extra levels."""

    def __init__(self, config: NeckConfig) -> None:
        super().__init__()
        self.start_level = config.start_level
        self.add_extra_convs = config.add_extra_convs
        self.relu_before_extra_convs = config.relu_before_extra_convs
        sources = config.in_channels[config.start_level :]
        self.lateral_convs = nn.ModuleList(ConvModule(c, config.out_channels, 1) for c in sources)
        self.fpn_convs = nn.ModuleList(ConvModule(config.out_channels, config.out_channels, 3) for _ in sources)
        for extra in range(config.num_outs - len(sources)):
            from_input = extra == 0 and config.add_extra_convs == "on_input"
            in_channels = sources[-1] if from_input else config.out_channels
            self.fpn_convs.append(ConvModule(in_channels, config.out_channels, 3, stride=2))

    def forward(self, feature_maps: list[Tensor]) -> list[Tensor]:
        """The backbone's maps, finest first -> `num_outs` maps of `out_channels`, finest first."""
        inputs = feature_maps[self.start_level :]
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)]
        for level in range(len(laterals) - 1, 0, -1):
            size = laterals[level - 1].shape[-2:]
            laterals[level - 1] = laterals[level - 1] + F.interpolate(laterals[level], size=size, mode="nearest")
        outs = [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=False)]
        source = {"on_input": inputs[-1], "on_lateral": laterals[-1], "on_output": outs[-1]}[self.add_extra_convs]
        for extra, conv in enumerate(list(self.fpn_convs)[len(laterals) :]):
            if extra > 0:
                source = F.relu(outs[-1]) if self.relu_before_extra_convs else outs[-1]
            outs.append(conv(source))
        return outs
