"""The compiled 3x3 convolution against the exact one in torch, and its place in an OpenVINO model."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch
import torch.nn.functional as F

from vfnet_runtime.engines.convolutions.library import load_library
from vfnet_runtime.engines.convolutions.winograd_convolution import (
    WinogradConvolution,
    WinogradKernel,
    lower_plain_convolutions,
    transform_filters,
)
from vfnet_runtime.engines.openvino_engine import openvino_core

ROUNDING = 2e-6
"""Of the output's root mean square. Of sums in one go, as OpenVINO's, it would be 6e-7."""
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(autouse=True)
def group(library: Path) -> int:
    """The output channels that this processor computes together."""
    loaded = load_library(library)
    assert loaded is not None
    group = int(loaded.vfnet_winograd_group())
    if group == 0:
        pytest.skip("this processor has no AVX2")
    return group


class Layer:
    """Random filters and input of one layer."""

    def __init__(
        self, channels: int, out_channels: int, size: tuple[int, int], batch: int = 1, seed: int = 0, bias: bool = False
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.input = torch.randn(batch, channels, *size, generator=generator)
        self.weight = torch.randn(out_channels, channels, 3, 3, generator=generator)
        self.bias = torch.randn(out_channels, generator=generator) * channels**0.5 if bias else None

    def exact(self) -> np.ndarray:
        bias = None if self.bias is None else self.bias.double()
        return F.conv2d(self.input.double(), self.weight.double(), bias, padding=1).numpy()

    def compute(self, library: Path, group: int, threads: int = 1, is_rectified: bool = False) -> np.ndarray:
        bias = None if self.bias is None else self.bias.numpy()
        filters = transform_filters(self.weight.numpy(), group)
        kernel = WinogradKernel(load_library(library), filters, bias, is_rectified, len(self.weight), threads)
        # One more at either end, which nobody may write to.
        memory = np.full(self.input.shape[0] * len(self.weight) * self.input[0, 0].numel() + 2, np.nan, np.float32)
        kernel([self.input.numpy()], memory[1:-1].reshape(len(self.input), len(self.weight), *self.input.shape[2:]))
        assert np.isnan(memory[[0, -1]]).all()
        return memory[1:-1].reshape(len(self.input), len(self.weight), *self.input.shape[2:])


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square of the difference, relative to that of the exact output."""
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize(
    ("channels", "out_channels", "size", "batch"),
    [
        (64, 64, (25, 34), 1),
        (64, 96, (24, 32), 1),  # whole tiles
        (96, 64, (7, 211), 1),  # more tiles in a row than are transformed at once
        (64, 64, (211, 5), 2),
        (256, 256, (13, 17), 1),
        (512, 64, (6, 7), 3),
        (64, 512, (3, 2), 1),
        (1024, 32, (9, 9), 1),
        (32, 32, (1, 1), 2),
        (32, 32, (1, 40), 1),
        (32, 32, (40, 1), 1),
    ],
)
def test_it_is_the_exact_convolution_but_for_rounding(
    channels: int, out_channels: int, size: tuple[int, int], batch: int, library: Path, group: int
) -> None:
    layer = Layer(channels, out_channels, size, batch)
    exact = layer.exact()
    for threads in (1, 3):
        assert error(layer.compute(library, group, threads), exact) < ROUNDING


def test_the_bias_is_added_and_what_is_negative_becomes_zero(library: Path, group: int) -> None:
    layer = Layer(64, 64, (10, 11), 2, bias=True)
    assert error(layer.compute(library, group), layer.exact()) < ROUNDING
    assert error(layer.compute(library, group, is_rectified=True), layer.exact().clip(0)) < ROUNDING


def test_every_filter_tap_is_in_its_place(library: Path, group: int) -> None:
    """One bright pixel shows the filters mirrored, to the last border."""
    layer = Layer(32, 32, (9, 10))
    for row, column in ((0, 0), (4, 4), (3, 9), (8, 9)):
        layer.input[:] = 0
        layer.input[0, 7, row, column] = 1
        np.testing.assert_allclose(layer.compute(library, group), layer.exact(), atol=2e-5)


def test_any_number_of_threads_and_callers_computes_the_same(library: Path, group: int) -> None:
    layers = [Layer(64, 64, (40 + seed, 50), seed=seed) for seed in range(4)]
    alone = [layer.compute(library, group) for layer in layers]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: layers[index % 4].compute(library, group, threads=3), range(32)))
    for index, found in enumerate(together):
        np.testing.assert_array_equal(found, alone[index % 4])


def test_an_image_is_the_same_in_any_batch(library: Path, group: int) -> None:
    layer = Layer(64, 64, (22, 19), batch=3)
    together = layer.compute(library, group, threads=2)
    for index in range(3):
        alone = Layer(64, 64, (22, 19))
        alone.input, alone.weight = layer.input[index : index + 1], layer.weight
        np.testing.assert_array_equal(alone.compute(library, group)[0], together[index])


def test_a_map_without_pixels_has_none(library: Path, group: int) -> None:
    for size in ((0, 5), (5, 0)):
        assert Layer(64, 64, size).compute(library, group, threads=2).shape == (1, 64, *size)


def convolution(input: Any, weight: torch.Tensor, **options: Any) -> Any:
    settings = {"strides": [1, 1], "pads_begin": [1, 1], "pads_end": [1, 1], "dilations": [1, 1]} | options
    return ops.convolution(input, weight.numpy(), **settings)


def computed(model: ov.Model, *inputs: np.ndarray) -> list[np.ndarray]:
    return list(openvino_core().compile_model(model, "CPU", F32)(list(inputs)).values())


def test_in_a_network_it_takes_the_bias_and_relu_along_for_any_size(library: Path) -> None:
    first, second = Layer(64, 96, (1, 1), bias=True, seed=1), Layer(96, 64, (1, 1), bias=True, seed=2)
    assert first.bias is not None
    assert second.bias is not None
    input = ops.parameter([-1, 64, -1, -1], ov.Type.f32)
    hidden = ops.relu(ops.add(convolution(input, first.weight), first.bias.reshape(1, -1, 1, 1).numpy()))
    biased = ops.add(convolution(hidden, second.weight), second.bias.reshape(1, -1, 1, 1).numpy())
    model = ov.Model([ops.relu(biased), ops.abs(biased)], [input])
    assert lower_plain_convolutions(model, 2, library, {}) == 2
    kinds = sorted(node.get_type_name() for node in model.get_ops())
    assert kinds == ["Abs", "Parameter", "Relu", "Result", "Result", "WinogradConvolution", "WinogradConvolution"]
    compiled = openvino_core().compile_model(model, "CPU", F32)
    for size in ((1, 64, 9, 13), (2, 64, 17, 8), (1, 64, 9, 13)):
        image = torch.randn(*size, generator=torch.Generator().manual_seed(0))
        exact = F.conv2d(image.double(), first.weight.double(), first.bias.double(), padding=1).relu()
        exact = F.conv2d(exact, second.weight.double(), second.bias.double(), padding=1)
        rectified, absolute = compiled([image.numpy()]).values()
        assert error(rectified, exact.relu().numpy()) < 2 * ROUNDING
        assert error(absolute, exact.abs().numpy()) < 2 * ROUNDING


def test_others_are_left_to_openvino(library: Path) -> None:
    def filters(channels: int, out_channels: int, side: int = 3) -> torch.Tensor:
        return Layer(channels, out_channels, (1, 1)).weight[:, :, :side, :side].contiguous()

    input, narrow, odd = (ops.parameter([1, channels, 8, 9], ov.Type.f32) for channels in (64, 32, 80))
    weights = ops.parameter([64, 64, 3, 3], ov.Type.f32)
    each = [
        convolution(input, filters(64, 64), strides=[2, 2]),
        convolution(input, filters(64, 64), strides=[1, 2]),
        convolution(input, filters(64, 64), pads_begin=[0, 0], pads_end=[0, 0]),
        convolution(input, filters(64, 64), pads_begin=[0, 1], pads_end=[2, 1]),
        convolution(input, filters(64, 64), auto_pad="same_upper"),
        convolution(input, filters(64, 64), dilations=[2, 2], pads_begin=[2, 2], pads_end=[2, 2]),
        convolution(input, filters(64, 64, side=1), pads_begin=[0, 0], pads_end=[0, 0]),
        convolution(input, filters(64, 32)),  # too few for it to be worth it
        convolution(narrow, filters(32, 64)),
        convolution(odd, filters(80, 64)),
        convolution(input, filters(64, 80)),
        ops.convolution(input, weights, [1, 1], [1, 1], [1, 1], [1, 1]),
        ops.group_convolution(
            input, Layer(32, 64, (1, 1)).weight.reshape(2, 32, 32, 3, 3).numpy(), [1, 1], [1, 1], [1, 1], [1, 1]
        ),
    ]
    model = ov.Model([ops.abs(one) for one in each], [input, narrow, odd, weights])
    assert lower_plain_convolutions(model, 1, library, {}) == 0


def test_two_that_see_the_same_stay_two(library: Path) -> None:
    layers = [Layer(64, 64, (6, 7), seed=seed) for seed in range(2)]
    input = ops.parameter([1, 64, 6, 7], ov.Type.f32)
    model = ov.Model([ops.abs(convolution(input, layer.weight)) for layer in layers], [input])
    assert lower_plain_convolutions(model, 1, library, {}) == 2
    layers[1].input = layers[0].input
    for found, layer in zip(computed(model, layers[0].input.numpy()), layers, strict=True):
        assert error(found, np.abs(layer.exact())) < ROUNDING


def test_filters_are_transformed_once_for_all_that_share_them(library: Path) -> None:
    layer = Layer(64, 64, (1, 1))
    input = ops.parameter([1, 64, 6, 7], ov.Type.f32)
    transformed: Any = {}
    for _ in range(2):
        model = ov.Model([convolution(convolution(input, layer.weight), layer.weight)], [input])
        assert lower_plain_convolutions(model, 1, library, transformed) == 2
    (filters,) = transformed.values()
    assert filters.nbytes == 4 * layer.weight.numpy().nbytes


def test_a_network_computes_with_them_in_place_of_openvinos(library: Path, demo_repository: Path) -> None:
    network = demo_repository / "vfnet_detector" / "1" / "network.xml"
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    inputs = [image, np.array([[64, 96]], np.int32)]
    exact = computed(openvino_core().read_model(network), *inputs)
    model = openvino_core().read_model(network)
    assert lower_plain_convolutions(model, 2, library, {}) > 20
    for found, expected in zip(computed(model, *inputs), exact, strict=True):
        assert error(found, expected) < 5 * ROUNDING


def test_inferences_leave_nothing_behind(library: Path) -> None:
    """OpenVINO asks the operation for a copy of itself at every inference, and keeps it."""
    layer = Layer(64, 64, (6, 7))
    input = ops.parameter([1, 64, -1, -1], ov.Type.f32)
    model = ov.Model([ops.abs(convolution(ops.abs(input), layer.weight))], [input])
    assert lower_plain_convolutions(model, 1, library, {}) == 1
    compiled = openvino_core().compile_model(model, "CPU", F32)

    def operations() -> int:
        return sum(type(each) is WinogradConvolution for each in gc.get_objects())

    compiled([layer.input.numpy()])
    before = operations()
    for _ in range(5):
        compiled([layer.input.numpy()])
    assert operations() == before
