"""`deform_conv2d` equals its definition, written out pixel by pixel, and has right gradients."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack, deform_conv2d


def sample(channel: Tensor, y: float, x: float) -> float:
    """Bilinear, zero outside the map: arXiv:1703.06211, equations 3 and 4."""
    height, width = channel.shape
    total = 0.0
    for row, column in product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * float(channel[row, column])
    return total


def naive_deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    mask: Tensor | None,
) -> Tensor:
    """Arguments and result as `torchvision.ops.deform_conv2d`, one number at a time."""
    kernel_height, kernel_width = weight.shape[2:]
    taps = kernel_height * kernel_width
    offset_groups = offset.shape[1] // (2 * taps)
    channels_per_offset_group = input.shape[1] // offset_groups
    outputs_per_group = weight.shape[0] * weight.shape[1] // input.shape[1]
    out = torch.zeros(input.shape[0], weight.shape[0], *offset.shape[2:], dtype=input.dtype)
    for n, o, i, j in product(*map(range, out.shape)):
        value = 0.0 if bias is None else float(bias[o])
        for c in range(weight.shape[1]):
            channel = o // outputs_per_group * weight.shape[1] + c
            group = channel // channels_per_offset_group
            for p, q in product(range(kernel_height), range(kernel_width)):
                tap = group * taps + p * kernel_width + q
                y = i * stride[0] - padding[0] + p * dilation[0] + float(offset[n, 2 * tap, i, j])
                x = j * stride[1] - padding[1] + q * dilation[1] + float(offset[n, 2 * tap + 1, i, j])
                modulation = 1.0 if mask is None else float(mask[n, tap, i, j])
                value += float(weight[o, c, p, q]) * modulation * sample(input[n, channel], y, x)
        out[n, o, i, j] = value
    return out


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no mask": {"with_mask": False},
    "no bias": {"with_bias": False},
    "two offset groups": {"offset_groups": 2},
    "two groups": {"groups": 2},
    "two of both": {"groups": 2, "offset_groups": 2},
    "two groups, four offset groups": {"groups": 2, "offset_groups": 4},
    "stride 2": {"stride": (2, 2)},
    "stride 1 by 2, padding 0 by 1, dilation 2 by 1": {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)},
    "kernel 1 by 3": {"kernel": (1, 3), "padding": (0, 1)},
    "map smaller than the kernel": {"size": (2, 1)},
}


def arguments(
    kernel: tuple[int, int] = (3, 3),
    size: tuple[int, int] = (5, 6),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    offset_groups: int = 1,
    with_mask: bool = True,
    with_bias: bool = True,
    n: int = 2,
) -> dict[str, Any]:
    """Random float64 arguments; offsets reach beyond every edge of the map."""
    random = torch.Generator().manual_seed(0)
    out = [
        (size[axis] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    ]
    taps = kernel[0] * kernel[1]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    return {
        "input": normal(n, 4, *size),
        "offset": normal(n, 2 * offset_groups * taps, *out) * 2,
        "weight": normal(2, 4 // groups, *kernel),
        "bias": normal(2) if with_bias else None,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "mask": normal(n, offset_groups * taps, *out).sigmoid() if with_mask else None,
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_equals_the_definition(case: dict[str, Any]) -> None:
    given = arguments(**case)
    torch.testing.assert_close(deform_conv2d(**given), naive_deform_conv2d(**given), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_its_gradients_are_right(case: dict[str, Any]) -> None:
    given = arguments(**{"size": (5, 3), **case, "n": 1})
    names = [name for name, value in given.items() if isinstance(value, Tensor)]
    # Bilinear interpolation has kinks where a coordinate is whole: keep clear of them.
    fraction = given["offset"] - given["offset"].floor()
    given["offset"] = given["offset"].floor() + fraction.clamp(0.01, 0.99)
    tensors = tuple(given[name].requires_grad_() for name in names)
    assert torch.autograd.gradcheck(
        lambda *values: deform_conv2d(**{**given, **dict(zip(names, values, strict=True))}), tensors
    )


def test_without_offsets_it_is_an_ordinary_convolution() -> None:
    given = arguments(groups=2, stride=(2, 1), with_mask=False)
    given["offset"].zero_()
    expected = F.conv2d(given["input"], given["weight"], given["bias"], given["stride"], given["padding"], groups=2)
    torch.testing.assert_close(deform_conv2d(**given), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("far", [7.0, 1e4, 1e30, math.inf, -7.0, -1e30, -math.inf])
@pytest.mark.parametrize("axis", [0, 1], ids=["y", "x"])
def test_samples_far_outside_count_zero_and_pass_no_gradient(far: float, axis: int) -> None:
    given = arguments()
    given["offset"][:, axis::2] = far
    leaves = [given["input"].requires_grad_(), given["offset"].requires_grad_()]
    out = deform_conv2d(**given)
    torch.testing.assert_close(out, given["bias"][None, :, None, None].expand_as(out), rtol=0, atol=0)
    for gradient in torch.autograd.grad(out.sum(), leaves):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("axis", [0, 1], ids=["y", "x"])
def test_a_sample_exactly_one_pixel_outside_passes_no_gradient(axis: int) -> None:
    """As mmcv's operators have it: with zero offsets, as training starts, the padding's taps lie there."""
    given = arguments()
    given["offset"].zero_()
    given["offset"].requires_grad_()
    (gradient,) = torch.autograd.grad(deform_conv2d(**given).sum(), [given["offset"]])
    taps = gradient.unflatten(1, (3, 3, 2))  # [N, tap row, tap column, (dy, dx), Ho, Wo]
    first_taps = taps[:, 0, :, :, 0] if axis == 0 else taps[:, :, 0, :, :, 0]
    assert torch.equal(first_taps, torch.zeros_like(first_taps))
    assert (taps[:, 1, 1] != 0).all()


@pytest.mark.parametrize("far", [1e4, math.inf])
def test_one_far_sample_leaves_the_others_alone(far: float) -> None:
    given = arguments()
    given["offset"][:, 6:8] = far  # tap 3
    without = {**given, "weight": given["weight"].clone()}
    without["offset"] = given["offset"].nan_to_num(posinf=0).clamp(max=100)
    without["weight"][:, :, 1, 0] = 0
    torch.testing.assert_close(deform_conv2d(**given), deform_conv2d(**without), rtol=1e-12, atol=1e-12)


def test_half_precision_input_keeps_its_type() -> None:
    given = arguments()
    halves = {name: v.to(torch.bfloat16) if isinstance(v, Tensor) else v for name, v in given.items()}
    assert deform_conv2d(**halves).dtype == torch.bfloat16


def test_the_pack_starts_as_an_ordinary_convolution_at_half_strength() -> None:
    torch.manual_seed(0)
    pack = ModulatedDeformConv2dPack(4, 6, 3, stride=2, padding=1, deform_groups=2).double()
    x = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    expected = F.conv2d(x, pack.weight, stride=2, padding=1) / 2
    torch.testing.assert_close(pack(x), expected, rtol=1e-12, atol=1e-12)


def test_the_pack_takes_offsets_then_masks_from_its_prediction() -> None:
    torch.manual_seed(0)
    pack = ModulatedDeformConv2dPack(4, 2, 3, padding=1).double()
    torch.nn.init.normal_(pack.conv_offset.weight)
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64)
    prediction = pack.conv_offset(x).detach()
    expected = naive_deform_conv2d(
        x, prediction[:, :18], pack.weight.detach(), None, (1, 1), (1, 1), (1, 1), prediction[:, 18:].sigmoid()
    )
    torch.testing.assert_close(pack(x), expected, rtol=1e-12, atol=1e-12)
