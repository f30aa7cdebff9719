"""Filters as the kernels for GPUs want them, computed on the CPU: the same answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from small_networks import BACKBONES, small_network
from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.engines.fused_network import OffsetPredictor, bundled, fuse

pytestmark = pytest.mark.usefixtures("one_thread")


def answers(backbone: str, dtype: torch.dtype, *, for_kernels: bool) -> tuple[torch.Tensor, ...]:
    network = small_network(BACKBONES[backbone])
    detector = Detector(network, fuse(network, dtype, for_kernels=for_kernels)).eval()
    pixels = torch.randint(40, 256, (1, 64, 96, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    with torch.inference_mode():
        found: tuple[torch.Tensor, ...] = detector(pixels, torch.tensor([[60, 90]], dtype=torch.int32))
    return found


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_their_layout_changes_no_answer(backbone: str, dtype: torch.dtype) -> None:
    own, theirs = (answers(backbone, dtype, for_kernels=each) for each in (False, True))
    tolerance = 2e-5 if dtype == torch.float32 else 2e-3
    assert (own[1] > 0).any()
    torch.testing.assert_close(theirs[1], own[1], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("channels", "groups", "wide"), [(256, 32, 64), (512, 32, 64), (96, 4, 48), (64, 1, 64)])
def test_narrow_groups_are_bundled(channels: int, groups: int, wide: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2 * channels, channels // groups, 3, 3, generator=generator)
    x = torch.randn(1, channels, 5, 4, generator=generator)
    found = bundled(weight, channels)
    assert found.shape[1] == wide
    torch.testing.assert_close(
        F.conv2d(x, found, groups=channels // wide), F.conv2d(x, weight, groups=groups), rtol=1e-5, atol=1e-4
    )


def test_offsets_are_predicted_as_wide_as_matrices_are_multiplied() -> None:
    network = small_network(BACKBONES["ResNet deformable"])
    fuse(network, torch.float16, for_kernels=True)
    predictors = [module for module in network.modules() if isinstance(module, OffsetPredictor)]
    assert len(predictors) > 10
    for predictor in predictors:
        assert predictor.conv.weight.shape[0] == 32
        x = torch.zeros(1, predictor.conv.in_channels, 4, 4, dtype=torch.float16)
        assert predictor(x).shape[1] == 27


@pytest.mark.parametrize("backbone", ["ResNet deformable", "ResNeXt deformable", "Res2Net deformable"])
def test_in_bf16_offsets_are_predicted_in_float32(backbone: str) -> None:
    network = small_network(BACKBONES[backbone])
    areas = fuse(network, torch.bfloat16)
    seen = list[tuple[torch.dtype, torch.dtype]]()
    for module in network.modules():
        if isinstance(module, ModulatedDeformConv2dPack):
            module.conv_offset.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, out.dtype)))
    detector = Detector(network, areas).eval()
    with torch.inference_mode():
        detector(torch.full((1, 64, 64, 3), 99, dtype=torch.uint8), torch.tensor([[64, 64]], dtype=torch.int32))
    assert len(seen) > 10
    assert set(seen) == {(torch.bfloat16, torch.float32)}
