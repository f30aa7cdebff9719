"""Kernels in Triton's language, run by its interpreter on the CPU: what plain torch gives.

Not collected: `test_kernels.py` runs it in a process whose environment has TRITON_INTERPRET=1 before anything imports
that language, which is when it looks.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from simulated_cuda import simulate_cuda
from small_networks import BACKBONES, small_network
from vfnet_runtime.architecture.detector import DensePredictor, Detector
from vfnet_runtime.architecture.padding import ValidAreas
from vfnet_runtime.engines import network_operations
from vfnet_runtime.engines.batching import Batch
from vfnet_runtime.engines.cuda_runner import CudaRunner
from vfnet_runtime.engines.fused_network import fuse
from vfnet_runtime.engines.kernels import (
    convolve_1x1_kernel,
    deformable_kernel,
    deformable_levels_kernel,
    normalisation_kernels,
    pointwise_kernel,
    resize_kernel,
)
from vfnet_runtime.engines.kernels.deformable_tiles import Tile
from vfnet_runtime.engines.torch_engine import Image
from vfnet_runtime.resizing import resize_into

pytestmark = pytest.mark.usefixtures("one_thread")
CANVAS = (64, 96)
VALID = torch.tensor([[64, 96], [40, 50], [30, 90]], dtype=torch.int32)


@pytest.fixture
def areas() -> ValidAreas:
    areas = ValidAreas()
    areas.begin(VALID, *CANVAS)
    return areas


def maps(channels: int, stride: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """A map of the canvas at a stride; not zero in the padding, and with a mean that is large beside its spread."""
    shape = (len(VALID), channels, CANVAS[0] // stride, CANVAS[1] // stride)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 3
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    tolerance = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}[found.dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.float().abs().max()))


@pytest.mark.parametrize(
    ("dtype", "with_residual", "masked"),
    [(torch.float32, False, True), (torch.float16, True, False), (torch.bfloat16, False, False)],
)
def test_bias_residual_relu_and_mask(dtype: torch.dtype, with_residual: bool, masked: bool, areas: ValidAreas) -> None:
    x, residual = maps(24, 8, dtype), maps(24, 8, dtype, 1) - 3 if with_residual else None
    bias = torch.linspace(-6, 1, 24)
    expected = network_operations.add_and_rectify(x.clone(), bias, residual, areas if masked else None)
    found = pointwise_kernel.add_and_rectify(x, bias, residual, areas.sizes(x) if masked else None)
    assert 0 < (expected > 0).float().mean() < 1
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("dtype", "channels", "groups", "stride"),
    [(torch.float32, 32, 8, 4), (torch.float16, 96, 32, 8), (torch.float32, 32, 32, 32)],
)
def test_group_norm_of_valid_cells_and_relu(
    dtype: torch.dtype, channels: int, groups: int, stride: int, areas: ValidAreas
) -> None:
    x = maps(channels, stride, dtype) + 20
    weight, bias = torch.linspace(0.5, 1.5, channels), torch.linspace(-0.5, 0.5, channels)
    # A level beside it has other statistics.
    both = [x, maps(channels, 2 * stride, dtype, 1) * 3]
    sizes, arguments = [areas.sizes(each) for each in both], (groups, weight, bias, 1e-5)
    for into_float32 in {dtype != torch.float32, False}:
        expected = network_operations.group_norm_and_rectify(
            [each.clone() for each in both], *arguments, areas, into_float32=into_float32
        )
        found = normalisation_kernels.group_norm_and_rectify(
            [each.clone(memory_format=torch.channels_last) for each in both],
            *arguments, sizes, into_float32=into_float32,
        )  # fmt: skip
        assert (expected[0] > 0).any()
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


@pytest.mark.parametrize("capability", [(7, 5), (8, 6), (9, 0)])
@pytest.mark.parametrize(
    ("dtype", "stride", "modulated"),
    [(torch.float32, 1, True), (torch.float32, 2, True), (torch.float16, 1, True), (torch.float16, 1, False)],
)
def test_deformable_convolution(
    dtype: torch.dtype, stride: int, modulated: bool, capability: tuple[int, int], areas: ValidAreas
) -> None:
    assert_deformable_convolution(areas, dtype, 32, 48, stride=stride, modulated=modulated, capability=capability)


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
@pytest.mark.parametrize(
    ("channels", "out_channels", "groups", "offset_groups"),
    [(64, 64, 2, 1), (64, 32, 1, 2), (128, 64, 4, 2), (128, 64, 2, 4), (52, 52, 1, 1)],
)
def test_groups_of_filters_and_of_offsets(
    channels: int, out_channels: int, groups: int, offset_groups: int, capability: tuple[int, int], areas: ValidAreas
) -> None:
    assert_deformable_convolution(
        areas, torch.float16, channels, out_channels, groups, offset_groups, capability=capability
    )


def test_neither_bias_nor_relu_nor_mask(areas: ValidAreas) -> None:
    for capability in ((7, 5), (9, 0)):
        assert_deformable_convolution(areas, torch.float16, 32, 32, capability=capability, plain=True)


def assert_deformable_convolution(
    areas: ValidAreas,
    dtype: torch.dtype,
    channels: int,
    out_channels: int,
    groups: int = 1,
    offset_groups: int = 1,
    *,
    capability: tuple[int, int],
    stride: int = 1,
    modulated: bool = True,
    plain: bool = False,
) -> None:
    x = areas.clear(maps(channels, 8, dtype))
    generator = torch.Generator().manual_seed(2)
    shape = (len(VALID), (27 if modulated else 18) * offset_groups, x.shape[2] // stride, x.shape[3] // stride)
    # Offsets far enough that many points leave the map on every side; their own layout, as the head's.
    prediction = torch.randn(shape, generator=generator).mul(4)
    weight = torch.randn((out_channels, channels // groups, 3, 3), generator=generator).mul(0.05).to(dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    arguments = (x, prediction, weight, None if plain else torch.linspace(-1, 1, out_channels), stride, 1)
    expected = network_operations.deform_conv_and_rectify(
        *arguments, modulated=modulated, rectify=not plain, areas=None if plain else areas
    )
    assert deformable_kernel.takes(x, prediction, weight, modulated)
    sizes = None if plain else areas.sizes(prediction)
    found = deformable_kernel.deform_conv(*arguments, modulated, not plain, sizes, capability)
    assert (expected > 0).any()
    assert_close(found, expected)


def test_other_deformable_convolutions_are_left_to_torch() -> None:
    takes = deformable_kernel.takes
    x, weight = torch.zeros(1, 64, 4, 4), torch.zeros(64, 64, 3, 3)
    assert takes(x, torch.zeros(1, 27, 4, 4), weight, True)
    assert takes(x, torch.zeros(1, 54, 4, 4), weight, True)  # two groups of offsets
    assert not takes(x, torch.zeros(1, 27, 4, 4), torch.zeros(64, 8, 3, 3), True)  # too few channels a group
    assert not takes(x, torch.zeros(1, 27, 4, 4), torch.zeros(64, 64, 3, 5), True)
    assert not takes(x, torch.zeros(1, 32, 4, 4), weight, True)


@pytest.mark.parametrize(
    ("size", "new_size"),
    [
        ((48, 64), (80, 107)),
        ((64, 48), (107, 80)),
        ((200, 150), (107, 80)),
        ((160, 214), (80, 107)),  # halved exactly, which OpenCV does otherwise
        ((160, 213), (80, 107)),
        ((1, 1), (60, 60)),
        ((3, 100), (2, 133)),
        ((37, 53), (37, 53)),
    ],
)
def test_resize_is_opencvs_to_the_bit(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    out = torch.full((128, 160, 3), 7, dtype=torch.uint8)
    resize_kernel.resize_bytes(image, new_size, out)
    expected = np.zeros((128, 160, 3), np.uint8)
    expected[: new_size[0], : new_size[1]] = cv2.resize(image, new_size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(out.numpy(), expected)


def test_resize_is_opencvs_for_any_size() -> None:
    random = np.random.default_rng(1)
    for _ in range(12):
        size, new_size = random.integers(1, 60, 2), random.integers(1, 60, 2)
        image = random.integers(0, 256, (*size, 3), np.uint8)
        out = torch.empty((60, 60, 3), dtype=torch.uint8)
        resize_kernel.resize_bytes(image, (int(new_size[0]), int(new_size[1])), out)
        expected = np.zeros((60, 60, 3), np.uint8)
        expected[: new_size[0], : new_size[1]] = cv2.resize(image, new_size[::-1].tolist())
        np.testing.assert_array_equal(out.numpy(), expected, err_msg=f"{size} to {new_size}")


def test_the_runner_resizes_stored_images_as_the_host_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored and resized images in one batch, on a simulated device; twice, for its buffers take turns."""
    simulate_cuda(monkeypatch)
    monkeypatch.setattr(network_operations, "HAS_KERNELS", True)
    network = small_network(BACKBONES["ResNet"])
    detector = Detector(network, fuse(network, torch.float32)).eval()
    runner = CudaRunner(detector, torch.device("cpu"), ((96, 128),), (1, 2, 4))
    images, on_canvas = [], []
    for number, (size, valid) in enumerate((((48, 60), (80, 100)), ((96, 128), (80, 100)), ((40, 64), (80, 128)))):
        pixels = np.random.default_rng(number).integers(40, 256, (1, *size, 3), np.uint8)
        images.append(Image(pixels, np.array([valid], np.int32), is_stored=size != (96, 128)))
        resized = np.zeros((1, 96, 128, 3), np.uint8)
        resize_into(pixels[0], resized[0, : valid[0], : valid[1]] if images[-1].is_stored else resized[0])
        on_canvas.append(Image(resized, images[-1].valid_shape))
    batch = Batch((96, 128), (0, 1, 2), 4)
    for _ in range(2):
        found, expected = (runner.finish(runner.start(batch, each)) for each in (images, on_canvas))
        for one, other in zip(found, expected, strict=True):
            assert (one[1] > 0).any()
            for ours, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("to_rgb", [True, False])
def test_pixels_are_normalised_to_the_bit(to_rgb: bool) -> None:
    network = small_network(BACKBONES["ResNet"])
    preprocess = dataclasses.replace(network.config.preprocess, to_rgb=to_rgb)
    network.config = dataclasses.replace(network.config, preprocess=preprocess)
    dense = DensePredictor(network)
    pixels = torch.randint(0, 256, (len(VALID), *CANVAS, 3), generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(torch.uint8)
    expected = dense.normalize(pixels, VALID)
    for dtype in (torch.float32, torch.float16):  # to bfloat16 the interpreter does not round, as GPUs do
        network_operations.normalise_by_kernel(dense, dtype)
        found = dense.normalize(pixels, VALID)
        assert found.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found, expected.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
def test_offsets_of_boxes_are_computed_inside(capability: tuple[int, int], areas: ValidAreas) -> None:
    x = areas.clear(maps(32, 8, torch.float32))
    generator = torch.Generator().manual_seed(3)
    distances = torch.rand((len(VALID), 4, *x.shape[2:]), generator=generator).mul(60)
    weight = torch.randn((16, 32, 3, 3), generator=generator).mul(0.05).contiguous(memory_format=torch.channels_last)
    star = network_operations.StarOffsets(distances, 0.1, 8)
    expected = network_operations.star_conv_and_rectify(x, star, weight, 1, areas)
    assert deformable_kernel.takes_star(x, weight)
    sizes = areas.sizes(x)
    found = deformable_kernel.deform_conv(
        x, distances, weight, None, 1, 1, False, True, sizes, capability, star=8, into_float32=True
    )
    assert (expected > 0).any()
    assert_close(found, expected)


def test_the_network_by_kernels_is_that_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it, as on a GPU: what is launched with what, and which is taken for which."""
    pixels = torch.randint(40, 256, (1, 64, 64, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    launched = set[str]()
    found = []
    for by_kernel in (False, True):
        network = small_network(BACKBONES["ResNet deformable"])
        areas = fuse(network, torch.float16, for_kernels=by_kernel)
        detector = Detector(network, areas).eval()
        monkeypatch.setattr(network_operations, "_by_kernel", lambda _, answer=by_kernel: answer)
        for module, name in ((deformable_levels_kernel, "deform_levels"), (convolve_1x1_kernel, "convolve_1x1")):
            original = getattr(module, name)

            def noted(*arguments: Any, name: str = name, original: Any = original, **options: Any) -> Any:
                launched.add(name)
                return original(*arguments, **options)

            monkeypatch.setattr(module, name, noted)
        with torch.inference_mode():
            found.append(detector(pixels, torch.tensor([[60, 50]], dtype=torch.int32)))
    assert launched == {"convolve_1x1", "deform_levels"}
    assert (found[0][1] > 0).any()
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=2e-3)


LEVEL_STRIDES = (8, 16, 32, 64, 128)


def level_maps(areas: ValidAreas, channels: int, dtype: torch.dtype) -> list[Tensor]:
    """As the head's: 1 x 1 in the coarsest."""
    generator = torch.Generator().manual_seed(4)
    found = []
    for stride in LEVEL_STRIDES:
        shape = (len(VALID), channels, -(-CANVAS[0] // stride), -(-CANVAS[1] // stride))
        values = torch.randn(shape, generator=generator).to(dtype)
        found.append(areas.clear(values).contiguous(memory_format=torch.channels_last))
    return found


@pytest.mark.parametrize(("dtype", "levels"), [(torch.float32, 5), (torch.float16, 3)])
def test_the_heads_levels_in_one_launch(dtype: torch.dtype, levels: int, areas: ValidAreas) -> None:
    x = level_maps(areas, 32, dtype)[:levels]
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn((48, 32, 3, 3), generator=generator).mul(0.05).to(dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    # Of 32 outputs the last five are none: cells lie further apart than there are predictions.
    predictions = [torch.randn((len(VALID), 32, *each.shape[2:]), generator=generator).mul(3) for each in x]
    predictions = [each.contiguous(memory_format=torch.channels_last)[:, :27] for each in predictions]
    expected = network_operations.deform_conv_of_levels(x, predictions, weight, 1)
    assert deformable_levels_kernel.takes(x, predictions, weight)
    found = deformable_levels_kernel.deform_levels(x, predictions, weight)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)

    distances = [torch.rand((len(VALID), 4, *each.shape[2:]), generator=generator).mul(90) for each in x]
    distances = [each.contiguous(memory_format=torch.channels_last) for each in distances]
    stars = [
        network_operations.StarOffsets(each, 0.1, stride)
        for each, stride in zip(distances, LEVEL_STRIDES, strict=False)
    ]
    expected = network_operations.star_conv_of_levels(x, stars, weight, 1, areas)
    sizes = [areas.sizes(each) for each in x]
    found = deformable_levels_kernel.deform_levels(x, distances, weight, strides=LEVEL_STRIDES[:levels], sizes=sizes)
    assert (expected[0] > 0).any()
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


def test_other_levels_are_computed_one_by_one(areas: ValidAreas) -> None:
    takes = deformable_levels_kernel.takes
    x = level_maps(areas, 32, torch.float16)
    weight = torch.zeros(32, 32, 3, 3)
    predictions = [torch.zeros(len(VALID), 27, *each.shape[2:]) for each in x]
    assert not takes(x[:2], predictions[:2], weight)  # channels first
    last = [each.contiguous(memory_format=torch.channels_last) for each in predictions]
    assert takes(x, last, weight)
    assert not takes(x, last, weight, (7, 5))
    assert not takes([*x, x[0]], [*last, last[0]], weight)


@pytest.mark.parametrize(
    ("stride", "with_residual", "masked", "tile"),
    [(1, True, False, None), (2, False, True, None), (1, False, True, convolve_1x1_kernel.TILES[1])],
)
def test_a_1x1_convolution_with_what_follows_it(
    stride: int,
    with_residual: bool,
    masked: bool,
    tile: Tile | None,
    areas: ValidAreas,
) -> None:
    x = maps(40, 8, torch.float16)  # of bfloat16 the interpreter makes wrong products
    generator = torch.Generator().manual_seed(6)
    weight = torch.randn((72, 40, 1, 1), generator=generator).mul(0.1).half()
    bias = torch.linspace(-2, 1, 72)
    residual = maps(72, 8 * stride, torch.float32, 1) - 3 if with_residual else None
    arguments = (x, weight, bias, stride, residual)
    expected = network_operations.convolve_1x1_and_rectify(*arguments, areas if masked else None)
    assert convolve_1x1_kernel.takes(x, weight)
    assert not convolve_1x1_kernel.takes(x, weight, (7, 5))
    sizes = areas.sizes(expected) if masked else None
    found = convolve_1x1_kernel.convolve_1x1(*arguments, sizes, tile)
    assert 0 < (expected > 0).float().mean() < 1
    assert_close(found, expected)
