"""Filters in half precision, and how near the network stays: what rounding loses is kept small by what is cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vfnet_images.decoding import decode_image
from vfnet_model.checkpoints.demo import DEMO_CHECKPOINT, SAMPLE_PICTURE
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.engines import fused_network, network_operations
from vfnet_runtime.engines.filter_rounding import rounded
from vfnet_runtime.engines.fused_network import fuse
from vfnet_runtime.engines.kernel_choices import DEFAULT_CHOICES, KernelChoices
from vfnet_runtime.resizing import resize_onto_canvas

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = (torch.float16, torch.bfloat16)


def filters(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).mul(0.05)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (8, 3, 7, 7), (16, 128, 1, 1)])
def test_errors_of_a_filter_cancel(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    weight = filters(*shape).contiguous(memory_format=torch.channels_last)
    found = rounded(weight, dtype)
    assert (found.dtype, found.shape, found.stride()) == (dtype, weight.shape, weight.stride())
    over = (2, 3) if shape[2] > 1 else (1, 2, 3)
    left, nearest = ((each.float() - weight).sum(over).abs().mean() for each in (found, weight.to(dtype)))
    assert left < 0.5 * nearest


@pytest.mark.parametrize("dtype", HALF)
def test_each_weight_becomes_one_of_its_two_neighbours(dtype: torch.dtype) -> None:
    weight = filters(16, 8, 3, 3)
    weight[0] = 0
    weight[1] = weight[1].to(dtype).float()
    found = rounded(weight, dtype).float()
    step = torch.finfo(dtype).eps * weight.abs() + 1e-7  # below, float16 has fewer digits
    assert ((found - weight).abs() <= step).all()
    torch.testing.assert_close(found[:2], weight[:2], rtol=0, atol=0)
    assert (found != weight.to(dtype).float()).any()


def test_what_half_precision_does_not_hold_is_infinite() -> None:
    weight = filters(1, 2, 3, 3)
    weight[0, 0, 0, 0] = 1e6
    found = rounded(weight, torch.float16)
    assert found[0, 0, 0, 0] == torch.inf
    assert torch.isfinite(found.flatten()[1:]).all()
    assert rounded(weight, torch.float32) is weight


def test_a_1x1_convolution_is_rounded_once() -> None:
    x, weight = filters(1, 64, 9, 9).bfloat16(), filters(32, 64, 1, 1).bfloat16()
    bias, residual = filters(32), filters(1, 32, 9, 9)
    found = network_operations.convolve_1x1_and_rectify(x, weight, bias, 1, residual)
    exact = network_operations.convolve_1x1_and_rectify(x.float(), weight.float(), bias, 1, residual)
    torch.testing.assert_close(found, exact.bfloat16(), rtol=0, atol=0)


def score_error(dtype: torch.dtype, choices: KernelChoices) -> float:
    """Root mean square of the scores' differences from float32, where the demonstration finds something."""
    checkpoint = load_checkpoint(DEMO_CHECKPOINT)
    preprocess = checkpoint.config.preprocess
    image = resize_onto_canvas(decode_image(SAMPLE_PICTURE.read_bytes(), 10**8), preprocess.img_scale, 32)
    outputs: list[list[Tensor]] = []
    for each in (torch.float32, dtype):
        network = build_network(checkpoint).eval()
        dense = DensePredictor(network, fuse(network, each, choices=choices))
        with torch.inference_mode():
            found: Any = dense(torch.from_numpy(image.pixels), torch.from_numpy(image.valid_shape))
        outputs.append([level.sigmoid().flatten() for level in found[: len(found) // 2]])
    exact, near = (torch.cat(levels) for levels in outputs)
    return float((near - exact)[exact > 0.05].square().mean().sqrt())


@pytest.mark.slow
def test_bf16_is_nearer_to_float32_than_by_rounding_everything_to_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is done together: filters whose errors cancel, the stem in float32, 1x1 convolutions rounded once."""
    found = score_error(torch.bfloat16, DEFAULT_CHOICES)
    plain: Callable[..., Any] = lambda weight, dtype: weight.to(dtype)  # noqa: E731
    monkeypatch.setattr(fused_network, "rounded", plain)
    monkeypatch.setattr(fused_network, "input_dtype", lambda _, dtype: dtype)
    undone = score_error(torch.bfloat16, KernelChoices(convolve_in_one_pass=False))
    assert found < 0.8 * undone
