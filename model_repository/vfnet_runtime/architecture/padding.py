"""Any canvas, one answer: a network that does not see how much padding surrounds an image.

MMDetection pads an image to multiples of 32, and its answer on that canvas is the answer. On a larger canvas the
padding would change it: biases fill the padding after the first layer, convolutions carry that back over the image's
edge, and group normalisation averages over it. Here, whatever looks at neighbours sees zeros beyond the image's own
canvas, as at the border of a map, and the statistics leave the padding out. Then fixed canvases and batches of mixed
sizes are possible (CUDA graphs, TensorRT profiles, libtorch) without changing a box.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vfnet_runtime.architecture.deform_conv import DeformConv2d, ModulatedDeformConv2dPack
from vfnet_runtime.architecture.vfnet import VFNet

MULTIPLE = 32
"""The sides of an image's own canvas are multiples of this."""
_HALVINGS = 8
"""Feature maps have strides 1, 2, 4, ... 128."""


def default_canvases(img_scale: tuple[int, int]) -> str:
    """`HEIGHTxWIDTH,...`: canvases for images that fit `img_scale`, upright and lying: 4:3, 3:2, and the largest."""
    longest, shortest = max(img_scale), min(img_scale)
    sides = [min(longest, round(shortest * ratio)) for ratio in (4 / 3, 3 / 2)] + [longest]
    short_side, *long_sides = (-(-side // MULTIPLE) * MULTIPLE for side in (shortest, *sides))
    pairs = {pair for side in long_sides for pair in ((short_side, side), (side, short_side))}
    return ",".join(f"{height}x{width}" for height, width in sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair)))


class ValidAreas:
    """For a batch on one canvas: which cells of each feature map are those of the image's own canvas.

    `begin` is called once per forward pass; the modules below then ask by the shape of what they are given, which
    tells the stride: each is half as high and wide as the one before, rounded up.
    """

    def __init__(self) -> None:
        self._sizes: list[Tensor] = []
        self._shapes: list[tuple[int, int]] = []
        self._masks: dict[int, Tensor] = {}

    def begin(self, valid_shape: Tensor, height: int, width: int) -> None:
        """Note the images of this pass.

        Args:
            valid_shape: int32 [N, 2] height and width of each image without its padding.
            height, width: of the canvas, multiples of 32.
        """
        size = torch.div(valid_shape + (MULTIPLE - 1), MULTIPLE, rounding_mode="floor") * MULTIPLE
        self._sizes, self._shapes, self._masks = [], [], {}
        for _ in range(_HALVINGS):
            self._sizes.append(size)
            self._shapes.append((height, width))
            size = torch.div(size + 1, 2, rounding_mode="floor")
            height, width = (height + 1) // 2, (width + 1) // 2

    def sizes(self, x: Tensor) -> Tensor:
        """int32 [N, 2], the valid height and width of a feature map [N, C, H, W]."""
        return self._sizes[self._halvings(x)]

    def mask(self, x: Tensor) -> Tensor:
        """bool [N, 1, H, W], whether a cell of a feature map [N, C, H, W] is valid."""
        halvings = self._halvings(x)
        if halvings not in self._masks:
            size = self._sizes[halvings]
            rows = torch.arange(x.shape[2], device=x.device)[None, :] < size[:, :1]
            columns = torch.arange(x.shape[3], device=x.device)[None, :] < size[:, 1:]
            self._masks[halvings] = (rows[:, :, None] & columns[:, None, :])[:, None]
        return self._masks[halvings]

    def clear(self, x: Tensor) -> Tensor:
        """`x` [N, C, H, W] with zeros where there is padding."""
        return torch.where(self.mask(x), x, 0.0)

    def group_norm(self, x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Group normalisation whose statistics, in float32, are those of the valid cells.

        [N, C, H, W] -> the same shape and type; what comes out in the padding means nothing.
        """
        n, channels, height, width = x.shape
        valid = self.mask(x)[:, :, None]
        values = x.float().reshape(n, num_groups, -1, height, width)
        cells = self.sizes(x).prod(dim=1).view(n, 1, 1, 1, 1) * (channels // num_groups)
        mean = torch.where(valid, values, 0.0).sum(dim=(2, 3, 4), keepdim=True) / cells
        centred = torch.where(valid, values - mean, 0.0)
        variance = (centred * centred).sum(dim=(2, 3, 4), keepdim=True) / cells
        normed = (centred * (variance + eps).rsqrt()).reshape(n, channels, height, width)
        return (normed * weight.float()[:, None, None] + bias.float()[:, None, None]).to(x.dtype)

    def _halvings(self, x: Tensor) -> int:
        height, width = side(x, 2), side(x, 3)
        for halvings, shape in enumerate(self._shapes):
            if shape[0] == height and shape[1] == width:
                return halvings
        raise ValueError(f"a map of {(height, width)} belongs to no stride of the canvas {self._shapes[:1]}")


def side(x: Tensor, dimension: int) -> int:
    """A tensor's length, a constant in a trace; while a program is exported for any length, a symbol."""
    length: Any = x.shape[dimension]
    return length if isinstance(length, torch.SymInt) else int(length)  # type: ignore[return-value]


class Masked(nn.Module):
    """A module that looks at neighbours and sees zeros where its first input has padding."""

    def __init__(self, module: nn.Module, areas: ValidAreas) -> None:
        super().__init__()
        self.module, self.areas = module, areas

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """As the module itself."""
        out: Tensor = self.module(self.areas.clear(x), *others)
        return out


class MaskedLogits(Masked):
    """The last convolution of the classification: nothing is found in the padding."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """As the convolution itself; minus infinity in the padding."""
        out = super().forward(x, *others)
        return torch.where(self.areas.mask(out), out, -torch.inf)


class MaskedGroupNorm(nn.Module):
    """Group normalisation that leaves the padding out: see `ValidAreas.group_norm`."""

    def __init__(self, norm: nn.GroupNorm, areas: ValidAreas) -> None:
        super().__init__()
        self.num_groups, self.eps, self.areas = norm.num_groups, norm.eps, areas
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape and type."""
        return self.areas.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def mask_padding(network: VFNet, areas: ValidAreas | None = None) -> ValidAreas:
    """Change `network`, in place, into one that gives the same answer on any canvas.

    Args:
        areas: those of modules in it that mask by themselves, or are given what is masked: their attribute
            `masks_padding` says so.

    Returns:
        What has to be told of each batch, with `begin`, before the network runs.
    """
    areas = areas or ValidAreas()
    _mask_children(network, areas)
    _mask_logits(network.bbox_head, "vfnet_cls", areas)
    return areas


def _mask_logits(parent: nn.Module, name: str, areas: ValidAreas) -> None:
    """Also where the convolution stands in a module that changes types around it."""
    child = getattr(parent, name, None)
    if isinstance(child, Masked):
        setattr(parent, name, MaskedLogits(child.module, areas))
    elif isinstance(child, nn.Module) and not getattr(parent, "masks_padding", False):
        _mask_logits(child, "module", areas)


def _mask_children(module: nn.Module, areas: ValidAreas) -> None:
    for name, child in module.named_children():
        if getattr(child, "masks_padding", False):
            continue
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, MaskedGroupNorm(child, areas))
        elif _looks_at_neighbours(child):
            setattr(module, name, Masked(child, areas))
        else:
            _mask_children(child, areas)


def _looks_at_neighbours(module: nn.Module) -> bool:
    """Whether a cell of the output depends on more than one cell of the input.

    A maximum over zeros where a border has minus infinity is the same: what is pooled here is never negative.
    """
    if isinstance(module, nn.Conv2d):
        return max(module.kernel_size) > 1
    return isinstance(module, (DeformConv2d, ModulatedDeformConv2dPack, nn.MaxPool2d, nn.AvgPool2d))
