"""The compiled deformable convolution against the exact one in torch, and its place in an OpenVINO model."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import psutil
import pytest
import torch

from vfnet_runtime.architecture.deform_conv import deform_conv2d
from vfnet_runtime.engines.convolutions.deformable_convolution import (
    PRECISIONS,
    DeformableKernel,
    LoweredDeformableConvolution,
    lay_out_channels,
    lower_deformable_convolutions,
    pack_weight,
)
from vfnet_runtime.engines.convolutions.library import load_library
from vfnet_runtime.engines.openvino_engine import openvino_core

ROUNDING = {"f32": 1e-6, "bf16": 6e-3, "int8": 2e-2}
"""Of the output's root mean square. f32: sums in another order. bf16: samples and weights have 8 bits of mantissa.
int8: columns and weights of normally distributed numbers reach 4.5 deviations in 127 steps, which is 1 % each."""


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest, library: Path) -> str:
    loaded = load_library(library)
    assert loaded is not None
    if not loaded.vfnet_deform_precisions() & PRECISIONS[request.param]:
        pytest.skip(f"this processor does not compute in {request.param}")
    return str(request.param)


class Layer:
    """Random weights and input of one layer."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        size: tuple[int, int],
        stride: int = 1,
        seed: int = 0,
        groups: int = 1,
        offset_groups: int = 1,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        height, width = ((side - 1) // stride + 1 for side in size)
        self.stride, self.groups, self.offset_groups = stride, groups, offset_groups
        self.input = torch.randn(1, channels, *size, generator=generator)
        self.offset = 3 * torch.randn(1, 18 * offset_groups, height, width, generator=generator)
        self.mask = torch.rand(1, 9 * offset_groups, height, width, generator=generator)
        self.weight = torch.randn(out_channels, channels // groups, 3, 3, generator=generator)

    def exact(self, modulated: bool = True) -> np.ndarray:
        mask = self.mask if modulated else None
        return deform_conv2d(self.input, self.offset, self.weight, stride=self.stride, padding=1, mask=mask).numpy()

    def kernel(self, library: Path, precision: str, threads: int = 1) -> DeformableKernel:
        loaded = load_library(library)
        assert loaded is not None
        weight = self.weight.numpy()
        layout = lay_out_channels(self.input.shape[1], self.groups, self.offset_groups)
        assert layout is not None
        packed = pack_weight(weight, self.groups, layout, precision)
        stride = (self.stride, self.stride)
        return DeformableKernel(loaded, packed, layout, precision, threads, weight.shape, stride, (1, 1), (1, 1))

    def compute(self, kernel: DeformableKernel, modulated: bool = True, output: np.ndarray | None = None) -> np.ndarray:
        if output is None:
            output = np.full((1, len(self.weight), *self.offset.shape[2:]), np.nan, np.float32)
        masks = [self.mask.numpy()] if modulated else []
        kernel([self.input.numpy(), self.offset.numpy(), *masks], output)
        return output


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square of the difference, relative to that of the exact output."""
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize(
    ("channels", "out_channels", "size", "stride"),
    [
        (64, 64, (25, 34), 1),  # half width
        (64, 96, (25, 33), 2),
        (26, 26, (7, 9), 1),  # Res2Net's: no multiple of any lane width
        (256, 256, (13, 17), 1),
        (3, 1, (2, 3), 1),
    ],
)
def test_it_is_the_exact_convolution_but_for_rounding(
    channels: int, out_channels: int, size: tuple[int, int], stride: int, precision: str, library: Path
) -> None:
    layer = Layer(channels, out_channels, size, stride)
    found = layer.compute(layer.kernel(library, precision))
    assert error(found, layer.exact()) < ROUNDING[precision]


@pytest.mark.parametrize(
    ("channels", "out_channels", "groups", "offset_groups", "stride"),
    [
        (256, 256, 32, 1, 1),  # ResNeXt-101-32x4d's stages: two groups, one, and half of one in a register
        (512, 512, 32, 1, 2),
        (1024, 1024, 32, 1, 1),
        (512, 512, 64, 1, 1),  # 64x4d's
        (64, 64, 16, 1, 1),
        (64, 64, 1, 4, 1),
        (48, 48, 1, 2, 1),  # no multiple of a register's lanes
        (64, 64, 16, 2, 1),
        (64, 64, 2, 16, 1),  # a group of many offset groups
        (32, 32, 16, 16, 1),
        (24, 12, 3, 3, 2),
        (18, 36, 3, 2, 1),
        (6, 6, 6, 1, 1),
        (160, 40, 4, 1, 1),
    ],
)
def test_groups_see_their_own_channels_and_offsets(
    channels: int, out_channels: int, groups: int, offset_groups: int, stride: int, precision: str, library: Path
) -> None:
    if lay_out_channels(channels, groups, offset_groups) is None:
        assert (channels, groups, offset_groups) == (18, 3, 2)  # nine and six channels: left to OpenVINO
        return
    layer = Layer(channels, out_channels, (9, 13), stride, groups=groups, offset_groups=offset_groups)
    for modulated in (True, False):
        found = layer.compute(layer.kernel(library, precision), modulated)
        exact = layer.exact(modulated)
        # Of every group: one that saw another's channels would be lost among many.
        for ours, theirs in zip(np.split(found, groups, 1), np.split(exact, groups, 1), strict=True):
            assert error(ours, theirs) < 2 * ROUNDING[precision]


def test_without_masks_every_sample_counts_whole(precision: str, library: Path) -> None:
    layer = Layer(64, 32, (12, 15))
    found = layer.compute(layer.kernel(library, precision), modulated=False)
    assert error(found, layer.exact(modulated=False)) < ROUNDING[precision]


def test_inputs_that_are_never_negative_are_rounded_more_finely(library: Path) -> None:
    loaded = load_library(library)
    assert loaded is not None
    if not loaded.vfnet_deform_precisions() & PRECISIONS["int8"]:
        pytest.skip("this processor does not compute in int8")
    layer = Layer(64, 64, (25, 34))
    signed = error(layer.compute(layer.kernel(library, "int8")), layer.exact())
    layer.input.relu_()
    assert error(layer.compute(layer.kernel(library, "int8")), layer.exact()) < signed


def test_taps_outside_or_nowhere_count_as_zero(precision: str, library: Path) -> None:
    layer = Layer(16, 16, (6, 7))
    layer.offset[:] = 100
    layer.offset[0, 3, 2, 2] = float("nan")
    np.testing.assert_array_equal(layer.compute(layer.kernel(library, precision)), 0)


def test_taps_at_the_border_lose_what_is_outside(precision: str, library: Path) -> None:
    layer = Layer(16, 16, (6, 7))
    layer.offset[:] = torch.tensor([-0.5, 0.25]).repeat(9)[None, :, None, None]
    assert error(layer.compute(layer.kernel(library, precision)), layer.exact()) < ROUNDING[precision]


def test_any_number_of_threads_and_callers_computes_the_same(precision: str, library: Path) -> None:
    layers = [Layer(32, 48, (40 + seed, 50), seed=seed) for seed in range(4)]
    alone = [layer.compute(layer.kernel(library, precision)) for layer in layers]
    kernels = [layer.kernel(library, precision, threads=3) for layer in layers]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: layers[index % 4].compute(kernels[index % 4]), range(32)))
    for index, found in enumerate(together):
        np.testing.assert_array_equal(found, alone[index % 4])


def test_a_network_computes_with_them_in_place_of_openvinos(
    precision: str, library: Path, demo_repository: Path
) -> None:
    core, network = openvino_core(), demo_repository / "vfnet_detector" / "1" / "network.xml"
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    inputs = [image, np.array([[64, 96]], np.int32)]
    properties = {"INFERENCE_PRECISION_HINT": "f32"}
    exact = list(core.compile_model(network, "CPU", properties)(inputs).values())
    model = core.read_model(network)
    assert lower_deformable_convolutions(model, precision, 2, library, {}) == 33
    assert not any(node.get_type_name() == "DeformableConvolution" for node in model.get_ops())
    found = list(core.compile_model(model, "CPU", properties)(inputs).values())
    assert max(error(a, b) for a, b in zip(found, exact, strict=True)) < 5 * ROUNDING[precision]


def test_two_that_see_the_same_stay_two(library: Path) -> None:
    layers = [Layer(16, 16, (6, 7), seed=seed) for seed in range(2)]
    shapes = [layers[0].input.shape, layers[0].offset.shape, layers[0].mask.shape]
    inputs = [ops.parameter(list(shape), ov.Type.f32) for shape in shapes]
    outputs = [
        ops.deformable_convolution(
            inputs[0], inputs[1], layer.weight.numpy(), [1, 1], [1, 1], [1, 1], [1, 1], mask=inputs[2],
            bilinear_interpolation_pad=True,
        )
        for layer in layers
    ]  # fmt: skip
    model = ov.Model([ops.abs(output) for output in outputs], inputs)  # not what a result is of
    if not lower_deformable_convolutions(model, "f32", 1, library, {}):
        pytest.skip("this processor has no AVX2")
    arrays = [array.numpy() for array in (layers[0].input, layers[0].offset, layers[0].mask)]
    found = list(openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(arrays).values())
    layers[1].input, layers[1].offset, layers[1].mask = layers[0].input, layers[0].offset, layers[0].mask
    for each, layer in zip(found, layers, strict=True):
        assert error(each, np.abs(layer.exact())) < ROUNDING["f32"]


def test_a_processor_that_does_not_compute_in_integers_computes_in_f32(library: Path, demo_repository: Path) -> None:
    loaded = load_library(library)
    assert loaded is not None
    if loaded.vfnet_deform_precisions() != PRECISIONS["f32"]:
        pytest.skip("this processor computes in more than f32, or in nothing")
    core, network = openvino_core(), demo_repository / "vfnet_detector" / "1" / "network.xml"
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    outputs = []
    for precision in PRECISIONS:
        model = core.read_model(network)
        assert lower_deformable_convolutions(model, precision, 2, library, {}) == 33
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs.append(list(compiled([image, np.array([[64, 96]], np.int32)]).values()))
    for found in outputs[1:]:
        for one, other in zip(found, outputs[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_inferences_leave_nothing_behind(library: Path, demo_repository: Path) -> None:
    """OpenVINO asks the operation for a copy of itself at every inference, and keeps it."""
    core = openvino_core()
    model = core.read_model(demo_repository / "vfnet_detector" / "1" / "network.xml")
    if not lower_deformable_convolutions(model, "f32", 2, library, {}):
        pytest.skip("this processor has no AVX2")
    compiled = core.compile_model(model, "CPU")
    inputs = [np.zeros((1, 64, 96, 3), np.uint8), np.array([[64, 96]], np.int32)]

    def operations() -> int:
        return sum(type(each) is LoweredDeformableConvolution for each in gc.get_objects())

    compiled(inputs)
    before = operations()
    assert before >= 33
    for _ in range(5):
        compiled(inputs)
    assert operations() == before


def test_threads_that_end_leave_nothing_behind(precision: str, library: Path) -> None:
    layer = Layer(64, 16, (200, 250))  # 13 MB of input, as much again for the library's own order of it, or half
    kernel, process = layer.kernel(library, precision), psutil.Process()
    output = layer.compute(kernel)

    def grown_after(threads: int) -> int:
        before = process.memory_info().rss
        for _ in range(threads):
            thread = threading.Thread(target=layer.compute, args=[kernel, True, output])
            thread.start()
            thread.join()
        return int(process.memory_info().rss - before)

    grown_after(2)
    assert grown_after(15) < 50e6
