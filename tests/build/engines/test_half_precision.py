"""A network converted for exporters that want half precision: near the one in float32, whatever its norms hold."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from small_networks import BACKBONES, small_network
from vfnet_build.engines.folded_batch_norms import fold_batch_norms
from vfnet_build.engines.half_precision import Float32Island, use_half_precision
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.padding import mask_padding
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = pytest.mark.usefixtures("one_thread")
LARGE = 1e7
"""A variance; the largest number of half precision is 65,504."""


def with_large_variances(network: VFNet) -> VFNet:
    """The same function, but for rounding: what each convolution before a batch norm gives is larger, and its norm."""
    for parent in network.backbone.modules():
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm2d) and name.startswith("bn"):
                conv = parent.get_submodule(name.replace("bn", "conv"))
                assert norm.running_mean is not None
                assert norm.running_var is not None
                factor = (LARGE / norm.running_var).sqrt()
                conv.weight.data *= factor[:, None, None, None]  # type: ignore[union-attr, operator]
                norm.running_mean *= factor
                norm.running_var *= factor**2
    return network


def dense(network: VFNet, canvas: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    predictor = DensePredictor(network, mask_padding(network)).eval()
    pixels = torch.zeros(2, *canvas, 3, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    pixels[:, :60, :90] = torch.randint(40, 256, (2, 60, 90, 3), generator=generator).to(torch.uint8)
    with torch.inference_mode():
        found: tuple[torch.Tensor, ...] = predictor(pixels, torch.tensor([[60, 90], [50, 64]], dtype=torch.int32))
    return found


@pytest.mark.parametrize("backbone", BACKBONES)
def test_folding_changes_no_answer(backbone: str) -> None:
    network = small_network(BACKBONES[backbone])
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for found, expected in zip(dense(folded, (64, 96)), dense(network, (64, 96)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", ["ResNet deformable", "ResNeXt deformable"])
def test_variances_that_half_precision_does_not_hold(backbone: str) -> None:
    network = with_large_variances(small_network(BACKBONES[backbone]))
    half = copy.deepcopy(network)
    use_half_precision(half, torch.float16)
    exact, near = dense(network, (64, 96)), dense(half, (64, 96))
    for found, expected in zip(near, exact, strict=True):
        inside = torch.isfinite(expected)
        assert torch.isfinite(found[inside]).all()
        scale = float(expected[inside].abs().max())
        assert float((found[inside].float() - expected[inside]).abs().max()) < 0.03 * scale


def test_logits_and_distances_are_computed_in_float32_and_are_nothing_in_the_padding() -> None:
    network = small_network(BACKBONES["ResNet deformable"])
    use_half_precision(network, torch.float16)
    for name in ("vfnet_cls", "vfnet_reg", "vfnet_reg_refine"):
        assert isinstance(network.bbox_head.get_submodule(name), Float32Island)
    logits, *others = dense(network, (128, 128))
    assert {output.dtype for output in (logits, *others)} == {torch.float32}
    assert torch.isinf(logits[:, :, 8:]).all()
    assert torch.isfinite(logits[:, :, :8, :8]).all()


def test_a_batch_norm_that_is_not_known_is_not_left_in_half_precision() -> None:
    network = small_network(BACKBONES["ResNet"])
    network.neck.norm = nn.BatchNorm2d(4)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"the batch norm neck\.norm follows no convolution"):
        fold_batch_norms(network)
