"""Deformable convolution (v1 and modulated v2) in plain torch, with torchvision's operator semantics."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

_SCHEMA = (
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, "
    "SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor"
)
_library: torch.library.Library | None = None


def sample_columns(
    input: Tensor,
    offset: Tensor,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    mask: Tensor | None,
) -> Tensor:
    """Sample the input bilinearly where each kernel tap lands (the im2col of a deformable convolution).

    Args:
        input: float [N, C, H, W]; with channels last in memory nothing is copied.
        offset: float [N, 2 * G * kh * kw, Ho, Wo], G offset groups, (dy, dx) interleaved per tap,
            taps row-major, in input pixels.
        mask: float [N, G * kh * kw, Ho, Wo], or None for 1.

    Returns:
        float [N, Ho * Wo, kh * kw, C], at least float32. A neighbour outside the input counts as zero.
    """
    n, channels, height, width = input.shape
    taps = kernel_size[0] * kernel_size[1]
    positions = offset.shape[2] * offset.shape[3]
    groups = offset.shape[1] // (2 * taps)
    precision = torch.promote_types(input.dtype, torch.float32)
    y, x = _sampling_points(offset.to(precision), kernel_size, stride, padding, dilation)  # [N, G, Ho * Wo, taps]
    rows, row_weights = _neighbours(y, height)  # [N, G, Ho * Wo, taps, 2]
    columns, column_weights = _neighbours(x, width)
    if mask is not None:
        row_weights = row_weights * mask.to(precision).reshape(n, groups, taps, positions).transpose(2, 3)[..., None]
    weights = row_weights[..., :, None] * column_weights[..., None, :]
    index = rows[..., :, None] * width + columns[..., None, :]
    first = torch.arange(n * groups, device=input.device) * (height * width)
    index = index + first.view(n, groups, 1, 1, 1, 1)

    # Four weighted rows of a table, summed: `embedding_bag` reads whole pixels (all channels at once), keeps no
    # intermediate per corner, and its backward pass is written for exactly this.
    table = input.to(precision).permute(0, 2, 3, 1).reshape(n, height * width, groups, channels // groups)
    sampled = F.embedding_bag(
        index.reshape(-1, 4),
        table.transpose(1, 2).reshape(-1, channels // groups),
        mode="sum",
        per_sample_weights=weights.reshape(-1, 4),
    )
    return sampled.view(n, groups, positions, taps, -1).permute(0, 2, 3, 1, 4).reshape(n, positions, taps, channels)


def _sampling_points(
    offset: Tensor,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Where the taps land, y and x, each [N, G, Ho * Wo, taps], in input pixels."""
    n, _, out_height, out_width = offset.shape
    taps = kernel_size[0] * kernel_size[1]

    def axis(length: int, index: int) -> Tensor:
        return torch.arange(length, device=offset.device, dtype=offset.dtype) * stride[index] - padding[index]

    tap = torch.arange(taps, device=offset.device)
    tap_y = torch.div(tap, kernel_size[1], rounding_mode="floor") * dilation[0]
    tap_x = tap % kernel_size[1] * dilation[1]
    shift = offset.reshape(n, -1, taps, 2, out_height, out_width).permute(3, 0, 1, 4, 5, 2)
    y = axis(out_height, 0)[:, None, None] + tap_y + shift[0]
    x = axis(out_width, 1)[:, None] + tap_x + shift[1]
    return y.flatten(2, 3), x.flatten(2, 3)


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Indices along one axis of the two pixels around each position, and their weights: each [..., 2].

    Outside (-1, size) no pixel is near: at -1 every weight is zero, whatever the position. Not clamped, because clamp
    passes the gradient at its bounds and mmcv's operator does not; with zero offsets, where training starts, the
    kernel's border taps lie exactly at -1.
    """
    position = torch.where((position > -1) & (position < size), position, -1.0)
    low = position.detach().floor()
    fraction = position - low
    pixel = torch.stack((low, low + 1), dim=-1)
    weight = torch.stack((1 - fraction, fraction), dim=-1) * ((pixel >= 0) & (pixel < size))
    return pixel.clamp(0, size - 1).long(), weight


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """`torchvision.ops.deform_conv2d` without torchvision: same arguments, same result, differentiable.

    Args:
        input: float [N, C, H, W].
        offset: float [N, 2 * offset_groups * kh * kw, Ho, Wo], (dy, dx) per tap, in input pixels.
        weight: float [out_channels, C / groups, kh, kw].
        bias: float [out_channels] or None.
        mask: float [N, offset_groups * kh * kw, Ho, Wo] or None (Deformable ConvNets v1).

    Returns:
        float [N, out_channels, Ho, Wo].
    """
    if _library is not None and torch.jit.is_tracing():
        return _traced(input, offset, weight, bias, _pair(stride), _pair(padding), _pair(dilation), mask)
    out_channels, group_channels, *kernel_size = weight.shape
    columns = sample_columns(
        input, offset, (kernel_size[0], kernel_size[1]), _pair(stride), _pair(padding), _pair(dilation), mask
    )
    n, positions, taps, channels = columns.shape
    groups = channels // group_channels
    columns = columns.to(input.dtype).reshape(n * positions, taps, groups, group_channels)
    columns = columns.permute(2, 0, 1, 3).reshape(groups, n * positions, -1)
    kernel = weight.view(groups, out_channels // groups, group_channels, taps)
    out = columns @ kernel.permute(0, 3, 2, 1).reshape(groups, -1, out_channels // groups)
    out = out.transpose(0, 1).reshape(n, *offset.shape[-2:], out_channels).permute(0, 3, 1, 2)
    return out if bias is None else out + bias[:, None, None]


def register_torchvision_operator() -> None:
    """Make `torchvision::deform_conv2d` exist, so that a TorchScript trace names it.

    The name is what OpenVINO's PyTorch front end, ONNX exporters and Triton's libtorch backend
    know. Where torchvision itself is imported its own operator is used. Idempotent.
    """
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    if not hasattr(torch.ops.torchvision, "deform_conv2d"):
        _library.define(_SCHEMA)
        _library.impl("deform_conv2d", _operator, "CompositeExplicitAutograd")


def _operator(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,  # noqa: ARG001 - both follow from the shapes
    offset_groups: int,  # noqa: ARG001
    use_mask: bool,
) -> Tensor:
    """`torchvision::deform_conv2d` for a process without torchvision; arguments in its schema's order.

    Raises:
        ValueError: torchvision's own operator would not take this mask, which it looks at even where it is not used.
    """
    if mask.shape[0] != input.shape[0]:
        raise ValueError(f"deform_conv2d: a mask for {mask.shape[0]} images with {input.shape[0]} images")
    return deform_conv2d(
        input,
        offset,
        weight,
        bias,
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        mask if use_mask else None,
    )


def _traced(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    mask: Tensor | None,
) -> Tensor:
    taps = int(weight.shape[2] * weight.shape[3])
    out: Tensor = torch.ops.torchvision.deform_conv2d(
        input,
        weight,
        offset,
        # Not used, but torchvision's operator wants one of each image.
        input.new_zeros(input.shape[0], 1) if mask is None else mask,
        weight.new_zeros(weight.shape[0]) if bias is None else bias,
        *stride,
        *padding,
        *dilation,
        int(input.shape[1] // weight.shape[1]),
        int(offset.shape[1] // (2 * taps)),
        mask is not None,
    )
    return out


class DeformConv2d(nn.Module):
    """Deformable convolution v1: the caller gives the offsets. mmcv's `DeformConv2d`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """x: [N, C, H, W]; offset: [N, 2 * k * k, H, W] -> [N, out_channels, H, W]."""
        return deform_conv2d(x, offset, self.weight, padding=self.padding)


class ModulatedDeformConv2dPack(nn.Module):
    """DCNv2 that predicts its own offsets and masks. mmcv's class of the same name (`type='DCNv2'`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        deform_groups: int = 1,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        bound = (in_channels * kernel_size**2) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        predictions = 3 * deform_groups * kernel_size**2
        self.conv_offset = nn.Conv2d(in_channels, predictions, kernel_size, stride, padding)
        # Zero offsets and a mask of 1/2: training starts from an ordinary convolution.
        nn.init.zeros_(self.conv_offset.weight)
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out_channels, Ho, Wo]."""
        prediction = self.conv_offset(x)
        offsets = prediction.shape[1] // 3 * 2
        # mmcv chunks by three and joins the first two: the same as the first two thirds.
        offset, mask = prediction[:, :offsets], prediction[:, offsets:].sigmoid()
        return deform_conv2d(x, offset, self.weight, None, self.stride, self.padding, mask=mask)
