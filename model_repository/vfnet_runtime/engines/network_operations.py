"""What the torch network does beside convolutions, each in one pass over its data: by kernels of our own on CUDA.

Everywhere else, and where kernels cannot be built (`kernel_availability`), plain torch does the same. Maps
are [N, C, H, W] with channels last in memory; arithmetic is in float32 whatever the maps hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vfnet_runtime.architecture.deform_conv import deform_conv2d, sample_columns
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.padding import ValidAreas
from vfnet_runtime.architecture.vfnet_head import star_dcn_offset
from vfnet_runtime.engines.kernel_availability import why_no_kernels

HAS_KERNELS = False
"""Whether a kernel of ours ran in this process: see `start_kernels`."""


def start_kernels(device: torch.device) -> str | None:
    """Compute with our kernels from now on, where they can be built and run; why not, otherwise."""
    global HAS_KERNELS
    reason = why_no_kernels(device)
    HAS_KERNELS = reason is None
    return reason


def _by_kernel(x: Tensor) -> bool:
    return HAS_KERNELS and x.is_cuda


def normalise_by_kernel(dense: DensePredictor, dtype: torch.dtype) -> None:
    """Have `dense` normalise pixels into `dtype` in one pass, by a kernel."""
    from vfnet_runtime.engines.kernels.normalise_pixels_kernel import normalise_pixels

    def normalize(pixels: Tensor, valid_shape: Tensor) -> Tensor:
        return normalise_pixels(pixels, valid_shape, dense.mean, dense.std, dtype, flip=not dense.to_rgb)

    dense.normalize = normalize  # type: ignore[method-assign]


def add_and_rectify(x: Tensor, bias: Tensor, residual: Tensor | None = None, areas: ValidAreas | None = None) -> Tensor:
    """ReLU of `x` + `bias` + `residual`, zero in the padding if `areas` are given; `x` may be overwritten.

    Args:
        x, residual: [N, C, H, W].
        bias: float32 [C].
    """
    if _by_kernel(x):
        from vfnet_runtime.engines.kernels import pointwise_kernel

        return pointwise_kernel.add_and_rectify(x, bias, residual, None if areas is None else areas.sizes(x))
    out = x.float() + bias[:, None, None]
    if residual is not None:
        out = out + residual.float()
    out = out.relu_().to(x.dtype)
    return out if areas is None else areas.clear(out)


def convolve_1x1_and_rectify(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    residual: Tensor | None = None,
    areas: ValidAreas | None = None,
) -> Tensor:
    """`add_and_rectify` of a convolution whose sums are not rounded before, on a CPU neither.

    Args:
        x: [N, C, H, W].
        weight: [out_channels, C, 1, 1].
    """
    if _by_kernel(x):
        from vfnet_runtime.engines.kernels import convolve_1x1_kernel as kernel

        if kernel.takes(x, weight):
            sizes = None if areas is None else areas.sizes(x[:, :, ::stride, ::stride])
            return kernel.convolve_1x1(x, weight, bias, stride, residual, sizes)
    if x.is_cuda or x.dtype == torch.float32:
        return add_and_rectify(F.conv2d(x, weight, stride=stride), bias, residual, areas)
    sums = F.conv2d(x.float(), weight.float(), stride=stride)
    return add_and_rectify(sums, bias, residual, areas).to(x.dtype)


def group_norm_and_rectify(
    maps: Sequence[Tensor],
    num_groups: int,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    areas: ValidAreas,
    *,
    into_float32: bool = False,
) -> list[Tensor]:
    """Group normalisation of each map by the statistics of its valid cells, then ReLU; zero in the padding.

    Args:
        maps: of pyramid levels, at most `MOST_LEVELS`; they may be overwritten.
        weight, bias: float32 [C].
        into_float32: leave the results unrounded, whatever type the maps have.
    """
    if _by_kernel(maps[0]):
        from vfnet_runtime.engines.kernels import normalisation_kernels

        sizes = [areas.sizes(x) for x in maps]
        return normalisation_kernels.group_norm_and_rectify(
            maps, num_groups, weight, bias, eps, sizes, into_float32=into_float32
        )
    maps = [x.float() for x in maps] if into_float32 else maps
    return [areas.clear(torch.relu(areas.group_norm(x, num_groups, weight, bias, eps))) for x in maps]


def deform_conv_and_rectify(
    x: Tensor,
    prediction: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    *,
    modulated: bool,
    rectify: bool,
    areas: ValidAreas | None,
    into_float32: bool = False,
) -> Tensor:
    """Deformable convolution, the bias, ReLU if `rectify`; zero in the padding of the output if `areas` are given.

    Args:
        x: [N, C, H, W], zero in its padding.
        prediction: [N, 2 * taps, Ho, Wo] offsets (dy, dx) per tap in cells; if `modulated`, [N, 3 * taps, Ho, Wo] with
            the logits of the masks behind them.
        weight: [out_channels, C / groups, kh, kw].
        bias: float32 [out_channels].
        into_float32: leave the sums unrounded, whatever type `x` has.
    """
    if _by_kernel(x):
        from vfnet_runtime.engines.kernels import deformable_kernel as kernel

        if kernel.takes(x, prediction, weight, modulated):
            sizes = None if areas is None else areas.sizes(prediction)
            out = kernel.deform_conv(
                x, prediction, weight, bias, stride, padding, modulated, rectify, sizes, into_float32=into_float32
            )
            return out.float() if into_float32 else out
    offsets = prediction.shape[1] // 3 * 2 if modulated else prediction.shape[1]
    mask = prediction[:, offsets:].float().sigmoid() if modulated else None
    if x.dtype != torch.float32 and weight.shape[1] == x.shape[1]:  # as the kernel, which rounds once
        out = _sums_in_float32(x, prediction[:, :offsets], weight, stride, padding, mask)
    else:
        out = deform_conv2d(x, prediction[:, :offsets], weight, None, stride, padding, mask=mask).float()
    if bias is not None:
        out = out + bias[:, None, None]
    out = (out.relu_() if rectify else out).to(torch.float32 if into_float32 else x.dtype)
    return out if areas is None else areas.clear(out)


def _sums_in_float32(
    x: Tensor, offset: Tensor, weight: Tensor, stride: int, padding: int, mask: Tensor | None
) -> Tensor:
    """`deform_conv2d` with one group: samples and filters are rounded to the map's type, their sums are not."""
    out_channels, _, *kernel = weight.shape
    pairs = ((kernel[0], kernel[1]), (stride, stride), (padding, padding), (1, 1))
    columns = sample_columns(x, offset, *pairs, mask).to(x.dtype).float()
    sums = columns.flatten(2) @ weight.permute(0, 2, 3, 1).reshape(out_channels, -1).float().T
    return sums.view(len(x), *offset.shape[2:], out_channels).permute(0, 3, 1, 2)


class StarOffsets:
    """Where a 3x3 kernel's taps go on the boxes of one level: computed inside the kernel, or by plain torch once."""

    def __init__(self, distances: Tensor, gradient_mul: float, stride: int) -> None:
        """See `star_dcn_offset`; `distances` are its `bbox_pred`, float32."""
        self.distances, self.gradient_mul, self.stride = distances, gradient_mul, stride
        self._offsets: Tensor | None = None

    def offsets(self) -> Tensor:
        """float32 [N, 18, H, W]."""
        if self._offsets is None:
            self._offsets = star_dcn_offset(self.distances, self.gradient_mul, self.stride)
        return self._offsets


def deform_conv_of_levels(
    maps: Sequence[Tensor], predictions: Sequence[Tensor], weight: Tensor, padding: int
) -> list[Tensor]:
    """`deform_conv_and_rectify` of each map, at most `MOST_LEVELS`, modulated, without anything that follows."""
    if _by_kernel(maps[0]) and len(maps) > 1:
        from vfnet_runtime.engines.kernels import deformable_levels_kernel as kernel

        if kernel.takes(maps, predictions, weight):
            return kernel.deform_levels(maps, predictions, weight)
    return [
        deform_conv_and_rectify(x, prediction, weight, None, 1, padding, modulated=True, rectify=False, areas=None)
        for x, prediction in zip(maps, predictions, strict=True)
    ]


def star_conv_of_levels(
    maps: Sequence[Tensor], stars: Sequence[StarOffsets], weight: Tensor, padding: int, areas: ValidAreas
) -> list[Tensor]:
    """`star_conv_and_rectify` of each map, at most `MOST_LEVELS`."""
    if _by_kernel(maps[0]) and len(maps) > 1:
        from vfnet_runtime.engines.kernels import deformable_levels_kernel as kernel

        distances = [star.distances for star in stars]
        if kernel.takes(maps, distances, weight):
            strides, sizes = [star.stride for star in stars], [areas.sizes(x) for x in maps]
            return kernel.deform_levels(maps, distances, weight, strides=strides, sizes=sizes)
    return [star_conv_and_rectify(x, star, weight, padding, areas) for x, star in zip(maps, stars, strict=True)]


def star_conv_and_rectify(x: Tensor, star: StarOffsets, weight: Tensor, padding: int, areas: ValidAreas) -> Tensor:
    """`deform_conv_and_rectify` without bias, with the offsets of boxes; the sums in float32 [N, out, H, W]."""
    if _by_kernel(x):
        from vfnet_runtime.engines.kernels import deformable_kernel as kernel

        if kernel.takes_star(x, weight):
            return kernel.deform_conv(
                x,
                star.distances,
                weight,
                None,
                1,
                padding,
                False,
                True,
                areas.sizes(x),
                star=star.stride,
                into_float32=True,
            ).float()
    return deform_conv_and_rectify(
        x, star.offsets(), weight, None, 1, padding, modulated=False, rectify=True, areas=areas, into_float32=True
    )
