"""Batch norms multiplied into the convolutions before them, in float64, for networks that go on in half precision.

A running variance above 65,504 is infinite in half precision, and the norm then gives zero where it should not, without
a word. Folded, neither it nor what the convolution would give before the norm is ever in half precision.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_runtime.architecture.res2net import Bottle2neck
from vfnet_runtime.architecture.resnet import Bottleneck
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.engines.fused_network import folded

_Place = tuple[nn.Module, str]
"""A module and the name of its child."""


class ChannelBias(nn.Module):
    """What is left of a batch norm behind a convolution that has no bias of its own."""

    bias: Tensor

    def __init__(self, bias: Tensor) -> None:
        """`bias`: [C]."""
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape and type."""
        return x + self.bias[:, None, None]


def fold_batch_norms(network: VFNet) -> None:
    """Fold every batch norm of `network` in place.

    Raises:
        ValueError: there is one whose convolution is not known.
    """
    for (conv_parent, conv_name), (norm_parent, norm_name) in list(_pairs(network.backbone)):
        conv, norm = conv_parent.get_submodule(conv_name), norm_parent.get_submodule(norm_name)
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(conv, (nn.Conv2d, ModulatedDeformConv2dPack))
        weight, bias = folded(conv.weight, norm)
        conv.weight.data = weight
        if isinstance(conv, nn.Conv2d):
            assert conv.bias is None
            conv.bias = nn.Parameter(bias, requires_grad=False)
            left: nn.Module = nn.Identity()
        else:
            left = ChannelBias(bias)
        setattr(norm_parent, norm_name, left)
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(f"the batch norm {name} follows no convolution that is known: half precision needs that")


def _pairs(backbone: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    """Convolutions and the batch norms behind them."""
    if getattr(backbone, "deep_stem", False):
        yield from _in_sequence(backbone.get_submodule("stem"))
    else:
        yield (backbone, "conv1"), (backbone, "bn1")
    for block in backbone.modules():
        if not isinstance(block, (Bottleneck, Bottle2neck)):
            continue
        yield (block, "conv1"), (block, "bn1")
        if isinstance(block, Bottleneck):
            yield (block, "conv2"), (block, "bn2")
        else:
            for index in range(len(block.convs)):
                yield (block.convs, str(index)), (block.bns, str(index))
        yield (block, "conv3"), (block, "bn3")
        if block.downsample is not None:
            yield from _in_sequence(block.downsample)


def _in_sequence(sequence: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    before = ""
    for name, child in sequence.named_children():
        if isinstance(child, nn.BatchNorm2d):
            yield (sequence, before), (sequence, name)
        before = name
