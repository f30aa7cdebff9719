"""The VFNet head: IoU-aware classification and boxes refined by star-shaped deformable convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vfnet_runtime.architecture.config import HeadConfig
from vfnet_runtime.architecture.deform_conv import DeformConv2d, ModulatedDeformConv2dPack

# Which side of the box (0 left, 1 top, 2 right, 3 bottom, None: the centre line) each of the nine
# taps goes to, as (dy, dx), row-major: the four corners, the four mid-sides, the point itself.
_STAR: tuple[tuple[int | None, int | None], ...] = (
    (1, 0), (1, None), (1, 2),
    (None, 0), (None, None), (None, 2),
    (3, 0), (3, None), (3, 2),
)  # fmt: skip


class Scale(nn.Module):
    """One learnt factor: mmcv's `Scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        return x * self.scale


class TowerConv(nn.Module):
    """3x3 convolution (DCNv2 if `deformable`) without bias, group norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int, deformable: bool = False) -> None:
        super().__init__()
        self.conv: nn.Module = (
            ModulatedDeformConv2dPack(in_channels, out_channels, 3, padding=1)
            if deformable
            else nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        )
        self.gn = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return torch.relu(self.gn(self.conv(x)))


class VFNetHead(nn.Module):
    """Weights are shared by the levels; `scales` and `scales_refine` hold one factor per level."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.strides = config.strides
        self.gradient_mul = config.gradient_mul
        self.bbox_factors = config.reg_denoms if config.bbox_norm_type == "reg_denom" else config.strides
        channels = config.feat_channels

        def tower() -> nn.ModuleList:
            return nn.ModuleList(
                TowerConv(
                    config.in_channels if i == 0 else channels,
                    channels,
                    config.num_groups,
                    deformable=config.dcn_on_last_conv and i == config.stacked_convs - 1,
                )
                for i in range(config.stacked_convs)
            )

        self.cls_convs, self.reg_convs = tower(), tower()
        self.vfnet_reg_conv = TowerConv(channels, channels, config.num_groups)
        self.vfnet_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in config.strides)
        self.vfnet_reg_refine_dconv = DeformConv2d(channels, channels, 3, padding=1)
        self.vfnet_reg_refine = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales_refine = nn.ModuleList(Scale() for _ in config.strides)
        self.vfnet_cls_dconv = DeformConv2d(channels, channels, 3, padding=1)
        self.vfnet_cls = nn.Conv2d(channels, config.num_classes, 3, padding=1)
        self._initialise()

    def _initialise(self) -> None:
        """Normal 0.01, and a classification bias of a 1 % prior, as mmdet's `init_cfg`."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta and module.weight.abs().sum() > 0:
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        assert self.vfnet_cls.bias is not None
        nn.init.constant_(self.vfnet_cls.bias, -math.log((1 - 0.01) / 0.01))

    def forward(self, feature_maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Pyramid maps [N, C, H_l, W_l], finest first -> per level:

        `cls_score` [N, num_classes, H_l, W_l] logits, `bbox_pred` and `bbox_pred_refine`
        [N, 4, H_l, W_l], distances left, top, right, bottom of the point in input pixels.
        """
        levels = [self.forward_single(x, level) for level, x in enumerate(feature_maps)]
        cls_scores, bbox_preds, bbox_preds_refine = (list(outputs) for outputs in zip(*levels, strict=True))
        return cls_scores, bbox_preds, bbox_preds_refine

    def forward_single(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """One level's `cls_score`, `bbox_pred`, `bbox_pred_refine`; see `forward`."""
        cls_feat = reg_feat = x
        for conv in self.cls_convs:
            cls_feat = conv(cls_feat)
        for conv in self.reg_convs:
            reg_feat = conv(reg_feat)

        distances = self.scales[level](self.vfnet_reg(self.vfnet_reg_conv(reg_feat)))
        bbox_pred = distances.float().exp() * self.bbox_factors[level]
        offset = star_dcn_offset(bbox_pred, self.gradient_mul, self.strides[level])

        reg_feat = torch.relu(self.vfnet_reg_refine_dconv(reg_feat, offset))
        refinement = self.scales_refine[level](self.vfnet_reg_refine(reg_feat))
        bbox_pred_refine = refinement.float().exp() * bbox_pred.detach()

        cls_feat = torch.relu(self.vfnet_cls_dconv(cls_feat, offset))
        return self.vfnet_cls(cls_feat), bbox_pred, bbox_pred_refine


def star_dcn_offset(bbox_pred: Tensor, gradient_mul: float, stride: int) -> Tensor:
    """Offsets that put a 3x3 kernel's taps on a box: corners, mid-sides and the point (arXiv:2008.13367, 3.3).

    Args:
        bbox_pred: [N, 4, H, W] distances left, top, right, bottom, in input pixels.
        gradient_mul: share of the gradient that flows from the offsets back into `bbox_pred`.
        stride: input pixels per map cell.

    Returns:
        [N, 18, H, W], (dy, dx) per tap, in map cells, less the kernel's own grid.
    """
    if bbox_pred.requires_grad:
        bbox_pred = (1 - gradient_mul) * bbox_pred.detach() + gradient_mul * bbox_pred
    distance = bbox_pred / stride
    negative, zero = -distance, torch.zeros_like(distance[:, 0])
    # Left and top lie on the negative side of the point.
    sides = (negative[:, 0], negative[:, 1], distance[:, 2], distance[:, 3])
    taps = []
    for tap, (y_side, x_side) in enumerate(_STAR):
        grid_y, grid_x = tap // 3 - 1, tap % 3 - 1
        taps.append((zero if y_side is None else sides[y_side]) - grid_y)
        taps.append((zero if x_side is None else sides[x_side]) - grid_x)
    return torch.stack(taps, dim=1)
