"""A VFNet rewritten for inference: batch norms folded into weights, what follows a convolution done in one pass.

The answer stays that of the network it is made from; `ValidAreas` says what of each map is padding. Of blocks that are
not known here (Res2Net's) the deformable convolutions are replaced; the rest stays as it is, with masks around what
looks at neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfnet_runtime.architecture.deform_conv import DeformConv2d, ModulatedDeformConv2dPack
from vfnet_runtime.architecture.padding import ValidAreas, mask_padding
from vfnet_runtime.architecture.resnet import Bottleneck, ResNet
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.architecture.vfnet_head import TowerConv, VFNetHead
from vfnet_runtime.engines.filter_rounding import rounded
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, MOST_LEVELS, KernelChoices
from vfnet_runtime.engines.network_operations import (
    StarOffsets,
    add_and_rectify,
    convolve_1x1_and_rectify,
    deform_conv_and_rectify,
    deform_conv_of_levels,
    group_norm_and_rectify,
    star_conv_of_levels,
)

_MATRIX_CHANNELS = 8
"""GPUs multiply matrices of half precision whose sides are multiples of this (16 bytes)."""
_BUNDLE = 64
"""Channels of narrow groups of filters that are multiplied as one: the kernel's step."""


def fuse(
    network: VFNet, dtype: torch.dtype, *, for_kernels: bool = False, choices: KernelChoices = DEFAULT_CHOICES
) -> ValidAreas:
    """Rewrite `network` in place for inference on any canvas, its maps and filters in `dtype`.

    Float32 stay whatever the `dtype`: sums, statistics, biases, what predicts logits and boxes, where taps land; with
    bfloat16 also what predicts where they land, for its 8 bits are up to 0.06 of a cell, and the stem (`input_dtype`).

    Args:
        for_kernels: lay filters out as the kernels for GPUs want them; on a CPU that would only cost time.

    Returns:
        What has to be told of each batch, with `begin`, before the network runs.
    """
    areas = ValidAreas()
    backbone, layout = network.backbone, FilterLayout(dtype, for_kernels, choices.convolve_in_one_pass)
    for stage in range(4):
        blocks = backbone.get_submodule(f"layer{stage + 1}")
        for name, block in blocks.named_children():
            if isinstance(block, Bottleneck):
                follows_stem = (stage, name) == (0, "0")
                first_dtype = input_dtype(backbone, dtype) if follows_stem else dtype
                setattr(blocks, name, FusedBottleneck(block, areas, layout, first_dtype))
            else:
                _fuse_packs(block, areas, layout)
    if not backbone.deep_stem:
        stem = FusedStem(backbone.conv1, backbone.bn1, areas)
        stem.conv.stays_float32 = input_dtype(backbone, dtype) == torch.float32  # type: ignore[assignment]
        for name, module in {"conv1": stem, "bn1": nn.Identity(), "relu": nn.Identity()}.items():
            setattr(backbone, name, module)
        backbone.maxpool.masks_padding = True  # type: ignore[assignment]  # the stem has done it
    first = input_dtype(backbone, dtype)
    backbone.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(first, memory_format=torch.channels_last),))
    network.bbox_head = FusedHead(  # type: ignore[assignment]
        network.bbox_head, areas, layout, levels_together=choices.levels_together
    )
    mask_padding(network, areas)
    for module in network.modules():
        if getattr(module, "stays_float32", False):
            continue
        if isinstance(module, nn.Conv2d):
            module.weight.data = rounded(module.weight.data, dtype)
            module.to(dtype)
        elif isinstance(module, (FoldedConv, ModulatedDeformConv2dPack, DeformConv2d)):
            module.weight.data = rounded(module.weight.data, dtype)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return areas


def input_dtype(backbone: ResNet, dtype: torch.dtype) -> torch.dtype:
    """What a backbone takes its image in, and in which its stem, its pooling and what reads that compute.

    With bfloat16 that is float32: these are a few products at the largest maps, and everything after them sees their
    rounding. Not where the stem is deep, or the blocks are not known here.
    """
    is_known = not backbone.deep_stem and issubclass(backbone.block, Bottleneck)
    return torch.float32 if dtype == torch.bfloat16 and is_known else dtype


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Filters [out, in, kh, kw] that are followed by `norm` -> filters and float32 bias [out] that need none."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return (weight.double() * scale[:, None, None, None]).float().detach(), bias.float().detach()


def _fuse_packs(module: nn.Module, areas: ValidAreas, layout: FilterLayout) -> None:
    """Replace the deformable convolutions in a block that is not known here."""
    for name, child in module.named_children():
        if isinstance(child, ModulatedDeformConv2dPack):
            setattr(module, name, FusedPack(child, areas, layout))
        else:
            _fuse_packs(child, areas, layout)


def bundled(weight: Tensor, channels: int) -> Tensor:
    """Filters of narrow groups as filters of groups up to 64 channels wide, with zeros between: the same convolution.

    Args:
        weight: [out_channels, channels / groups, kh, kw].
    """
    out_channels, narrow, *kernel = weight.shape
    groups = channels // narrow
    together = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * narrow <= _BUNDLE))
    each = out_channels // groups
    wide = weight.new_zeros(groups // together, together, each, together, narrow, *kernel)
    narrow_filters = weight.view(groups // together, together, each, narrow, *kernel)
    for member in range(together):
        wide[:, member, :, member] = narrow_filters[:, member]
    return wide.view(out_channels, together * narrow, *kernel)


class FilterLayout:
    """How filters of deformable convolutions, and of what predicts their offsets, are kept."""

    def __init__(self, dtype: torch.dtype, for_kernels: bool, in_one_pass: bool) -> None:
        self.dtype, self.for_kernels, self.in_one_pass = dtype, for_kernels, in_one_pass

    def offset_predictor(self, pack: ModulatedDeformConv2dPack) -> OffsetPredictor:
        """What takes the place of `pack.conv_offset`."""
        in_float32 = self.dtype == torch.bfloat16
        return OffsetPredictor(pack.conv_offset, in_float32, pad=self.for_kernels and self.dtype != torch.float32)

    def filters(self, weight: Tensor, channels: int) -> Tensor:
        """Of a deformable convolution of so many channels."""
        return bundled(weight, channels) if self.for_kernels else weight


class OffsetPredictor(nn.Module):
    """The convolution that predicts offsets and masks."""

    def __init__(self, conv: nn.Conv2d, in_float32: bool, pad: bool) -> None:
        """
        Args:
            in_float32: whatever type the maps have.
            pad: compute outputs up to a multiple of 8 (27: 32), which cuDNN's kernels for half precision want.
        """
        super().__init__()
        self.in_float32, self.predictions = in_float32, conv.out_channels
        more = -conv.out_channels % _MATRIX_CHANNELS
        if pad and more:
            assert conv.bias is not None
            conv.weight.data = F.pad(conv.weight.data, (0, 0, 0, 0, 0, 0, 0, more))
            conv.bias.data = F.pad(conv.bias.data, (0, more))
            conv.out_channels += more
        conv.stays_float32 = in_float32  # type: ignore[assignment]
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], zero in the padding -> [N, predictions, Ho, Wo]."""
        predicted: Tensor = self.conv(x.float() if self.in_float32 else x)
        return predicted[:, : self.predictions]


class FoldedConv(nn.Module):
    """A convolution and its batch norm without what the norm adds, which is left to `bias`."""

    bias: Tensor

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, in_one_pass: bool = False) -> None:
        """
        Args:
            in_one_pass: a convolution of one group and 1x1, with what follows it in one kernel.
        """
        super().__init__()
        self.in_one_pass = in_one_pass and conv.kernel_size == (1, 1) and conv.groups == 1
        weight, bias = folded(conv.weight, norm)
        self.weight = nn.Parameter(weight)
        self.register_buffer("bias", bias)
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, Ho, Wo], to which `bias` is still to be added."""
        return F.conv2d(x, self.weight, None, self.stride, self.padding, 1, self.groups)

    def rectified(self, x: Tensor, residual: Tensor | None = None, areas: ValidAreas | None = None) -> Tensor:
        """ReLU of what comes out, `bias` and `residual`; zero in the padding if `areas` are given."""
        if self.in_one_pass:
            return convolve_1x1_and_rectify(x, self.weight, self.bias, self.stride[0], residual, areas)
        return add_and_rectify(self(x), self.bias, residual, areas)


class FusedStem(nn.Module):
    """The first convolution, batch norm and ReLU; its output is zero in the padding, as pooling wants it."""

    masks_padding = True

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, areas: ValidAreas) -> None:
        super().__init__()
        self.conv, self.areas = FoldedConv(conv, norm), areas

    def forward(self, x: Tensor) -> Tensor:
        """Normalised image [N, 3, H, W], zero in the padding -> [N, C, H / 2, W / 2]."""
        return add_and_rectify(self.conv(x), self.conv.bias, areas=self.areas)


class FusedBottleneck(nn.Module):
    """A `Bottleneck`: three convolutions, after each of which one pass adds, rectifies and masks."""

    masks_padding = True

    def __init__(self, block: Bottleneck, areas: ValidAreas, layout: FilterLayout, dtype: torch.dtype) -> None:
        """`dtype`: of the input, where that is another than the maps'."""
        super().__init__()
        self.areas, self.dtype = areas, layout.dtype
        self.conv1, self.conv3 = (
            FoldedConv(conv, norm, in_one_pass=layout.in_one_pass)
            for conv, norm in ((block.conv1, block.bn1), (block.conv3, block.bn3))
        )
        middle = block.conv2
        self.conv2: nn.Module = (
            FusedDeformConv(middle, block.bn2, layout)
            if isinstance(middle, ModulatedDeformConv2dPack)
            else FoldedConv(middle, block.bn2)  # type: ignore[arg-type]
        )
        self.pool: nn.Module = nn.Identity()
        self.shortcut: FoldedConv | None = None
        if block.downsample is not None:
            *pooling, conv, norm = block.downsample.children()
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self.pool = nn.Sequential(*pooling)
            self.shortcut = FoldedConv(conv, norm)
            # Both biases are added to the sum of both branches, in the last pass.
            self.conv3.bias += self.shortcut.bias
        for reader in (self.conv1, self.shortcut):
            if reader is not None:
                reader.stays_float32 = dtype == torch.float32  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, planes * 4, H / stride, W / stride]; what comes out in the padding means nothing."""
        identity = x if self.shortcut is None else self.shortcut(self.pool(x))
        out = self.conv1.rectified(x, areas=self.areas).to(self.dtype)
        out = self.conv2.rectified(out) if isinstance(self.conv2, FoldedConv) else self.conv2(out)
        return self.conv3.rectified(out, identity)


class FusedDeformConv(nn.Module):
    """A `ModulatedDeformConv2dPack`, its batch norm and ReLU."""

    bias: Tensor
    masks_padding = True

    def __init__(self, pack: ModulatedDeformConv2dPack, norm: nn.BatchNorm2d, layout: FilterLayout) -> None:
        super().__init__()
        weight, bias = folded(pack.weight, norm)
        pack.weight.data = layout.filters(weight, pack.conv_offset.in_channels)
        pack.conv_offset = layout.offset_predictor(pack)  # type: ignore[assignment]
        self.pack = pack
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], zero in the padding -> [N, out, Ho, Wo]."""
        pack = self.pack
        prediction = pack.conv_offset(x)
        return deform_conv_and_rectify(
            x, prediction, pack.weight, self.bias, pack.stride, pack.padding, modulated=True, rectify=True, areas=None
        )


class FusedPack(nn.Module):
    """A `ModulatedDeformConv2dPack` alone: neither bias nor ReLU."""

    masks_padding = True

    def __init__(self, pack: ModulatedDeformConv2dPack, areas: ValidAreas, layout: FilterLayout) -> None:
        super().__init__()
        pack.weight.data = layout.filters(pack.weight.data, pack.conv_offset.in_channels)
        pack.conv_offset = layout.offset_predictor(pack)  # type: ignore[assignment]
        self.pack, self.areas = pack, areas

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, Ho, Wo]."""
        pack, x = self.pack, self.areas.clear(x)
        return deform_conv_and_rectify(
            x,
            pack.conv_offset(x),
            pack.weight,
            None,
            pack.stride,
            pack.padding,
            modulated=True,
            rectify=False,
            areas=None,
        )


class FusedTowerConv(nn.Module):
    """A `TowerConv`: its input and its output are zero in the padding."""

    def __init__(
        self, block: TowerConv, areas: ValidAreas, layout: FilterLayout, *, into_float32: bool = False
    ) -> None:
        super().__init__()
        self.into_float32 = into_float32
        self.conv, self.gn, self.areas = block.conv, block.gn, areas
        if isinstance(block.conv, ModulatedDeformConv2dPack):
            block.conv.conv_offset = layout.offset_predictor(block.conv)  # type: ignore[assignment]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Of each level [N, in_channels, H, W] -> [N, out_channels, H, W]."""
        conv, gn = self.conv, self.gn
        if isinstance(conv, ModulatedDeformConv2dPack):
            maps = deform_conv_of_levels(maps, [conv.conv_offset(x) for x in maps], conv.weight, conv.padding)
        else:
            maps = [conv(x) for x in maps]
        return group_norm_and_rectify(
            maps, gn.num_groups, gn.weight, gn.bias, gn.eps, self.areas, into_float32=self.into_float32
        )


class FusedHead(nn.Module):
    """A `VFNetHead`; logits and boxes are computed in float32."""

    masks_padding = True

    def __init__(self, head: VFNetHead, areas: ValidAreas, layout: FilterLayout, *, levels_together: bool) -> None:
        super().__init__()
        self.head, self.areas = head, areas
        self.levels_at_once = MOST_LEVELS if levels_together else 1
        self.side_stream: Any = None
        """Of the GPU, for the coarser levels; None: level after level."""
        self.cls_convs = nn.ModuleList(FusedTowerConv(block, areas, layout) for block in head.cls_convs)  # type: ignore[arg-type]
        self.reg_convs = nn.ModuleList(FusedTowerConv(block, areas, layout) for block in head.reg_convs)  # type: ignore[arg-type]
        self.vfnet_reg_conv = FusedTowerConv(head.vfnet_reg_conv, areas, layout, into_float32=True)
        for conv in (head.vfnet_cls, head.vfnet_reg, head.vfnet_reg_refine):
            conv.stays_float32 = True  # type: ignore[assignment]

    def forward(self, feature_maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """As `VFNetHead.forward`; logits are minus infinity in the padding."""
        if self.side_stream is None:
            levels = self._compute(feature_maps, 0)
        else:
            levels = self._beside_each_other(feature_maps, self.side_stream)
        cls_scores, bbox_preds, bbox_preds_refine = (list(outputs) for outputs in zip(*levels, strict=True))
        return cls_scores, bbox_preds, bbox_preds_refine

    def _beside_each_other(self, feature_maps: list[Tensor], side: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The coarser levels, which leave most of a GPU idle, while the finest is computed."""
        main = torch.cuda.current_stream(feature_maps[0].device)
        side.wait_stream(main)
        finest = self._compute(feature_maps[:1], 0)
        with torch.cuda.stream(side):
            coarser = self._compute(feature_maps[1:], 1)
        # Until then the maps are alive; from then on their memory may be used again.
        main.wait_stream(side)
        return finest + coarser

    def _compute(self, feature_maps: list[Tensor], first: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of levels from `first` on, as many at once as may be."""
        found = []
        for start in range(0, len(feature_maps), self.levels_at_once):
            some = feature_maps[start : start + self.levels_at_once]
            found += self._compute_at_once(some, range(first + start, first + start + len(some)))
        return found

    def _compute_at_once(self, feature_maps: list[Tensor], levels: range) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Each level's `cls_score`, `bbox_pred`, `bbox_pred_refine`; the steps of `VFNetHead.forward_single`."""
        head, areas = self.head, self.areas
        cls_feats = reg_feats = [areas.clear(x) for x in feature_maps]
        for conv in self.cls_convs:
            cls_feats = conv(cls_feats)
        for conv in self.reg_convs:
            reg_feats = conv(reg_feats)

        distances = [head.vfnet_reg(x) for x in self.vfnet_reg_conv(reg_feats)]
        bbox_preds = [
            head.scales[level](distance).exp() * head.bbox_factors[level]
            for level, distance in zip(levels, distances, strict=True)
        ]
        stars = [
            StarOffsets(bbox_pred, head.gradient_mul, head.strides[level])
            for level, bbox_pred in zip(levels, bbox_preds, strict=True)
        ]
        refinements = [head.vfnet_reg_refine(x) for x in self._sample(reg_feats, stars, head.vfnet_reg_refine_dconv)]
        bbox_preds_refine = [
            head.scales_refine[level](refinement).exp() * bbox_pred
            for level, refinement, bbox_pred in zip(levels, refinements, bbox_preds, strict=True)
        ]
        logits = [head.vfnet_cls(x) for x in self._sample(cls_feats, stars, head.vfnet_cls_dconv)]
        logits = [torch.where(areas.mask(each), each, -torch.inf) for each in logits]
        return list(zip(logits, bbox_preds, bbox_preds_refine, strict=True))

    def _sample(self, maps: list[Tensor], stars: list[StarOffsets], conv: DeformConv2d) -> list[Tensor]:
        return star_conv_of_levels(maps, stars, conv.weight, conv.padding, self.areas)
