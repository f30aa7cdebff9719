"""OpenVINO's 3x3 convolutions in float32, by Winograd's minimal filtering: winograd_convolution.h.

A quarter of the products, and some two fifths of the time: docs/cpu-precision.md. `lower_plain_convolutions` puts ours
in their place where there is the compiled library and the processor has AVX2; else OpenVINO's own go on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from vfnet_runtime.engines.convolutions.kernel_operation import KernelOperation, constant
from vfnet_runtime.engines.convolutions.library import aligned, load_library

FEWEST_CHANNELS = 64
"""In and out. With fewer, what is saved of the products goes into the transformations."""
_CHANNELS = 32
"""Which the channels have to be a multiple of: the most that the library computes together."""
_A, _B = 0.625, 1.5
"""The points of winograd_convolution.h, besides 0 and infinity."""


def _filter_transformation(a: float, b: float) -> NDArray[Any]:
    """float64 [6, 3]: the filter as a polynomial at 0, a, -a, b, -b and infinity, with the scale of both."""
    rows = [[1 / (a * b) ** 2, 0.0, 0.0]]
    for point, other in ((a, b), (-a, b), (b, a), (-b, a)):
        scale = 2 * point**2 * (point**2 - other**2)
        rows.append([1 / scale, point / scale, point**2 / scale])
    return np.array([*rows, [0.0, 0.0, 1.0]])


def transform_filters(weight: NDArray[Any], group: int) -> NDArray[Any]:
    """float32 [out_channels, channels, 3, 3] -> [out_channels / group, 36, channels, group], four times as large.

    In float64, rounded once.
    """
    out_channels, channels = weight.shape[:2]
    matrix = _filter_transformation(_A, _B)
    both_ways = np.kron(matrix, matrix)
    transformed = aligned(np.empty((out_channels // group, 36, channels, group), np.float32))
    for filters, points in zip(weight.reshape(-1, group, channels, 9), transformed, strict=True):
        points[...] = (filters.astype(np.float64) @ both_ways.T).transpose(2, 1, 0)
    return transformed


class _Convolution(ctypes.Structure):
    """`WinogradConvolution` of winograd_convolution.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "weight", "bias", "output")),
        *(
            (name, ctypes.c_int32)
            for name in ("batch", "channels", "height", "width", "out_channels", "is_rectified", "threads")
        ),
    )


@dataclass(frozen=True, eq=False)
class WinogradKernel:
    """One layer's weights, and what follows it."""

    library: ctypes.CDLL
    filters: NDArray[Any]
    """See `transform_filters`."""
    bias: NDArray[Any] | None
    """float32 [out_channels]."""
    is_rectified: bool
    """Whether ReLU follows."""
    out_channels: int
    threads: int

    def __call__(self, inputs: Sequence[NDArray[Any]], output: NDArray[Any]) -> None:
        """Convolve.

        Args:
            inputs: one, float32 [batch, channels, height, width].
            output: float32 [batch, out_channels, height, width], written to.

        Raises:
            MemoryError: memory is short.
        """
        (input,) = inputs
        convolution = _Convolution(
            input.ctypes.data,
            self.filters.ctypes.data,
            None if self.bias is None else self.bias.ctypes.data,
            output.ctypes.data,
            *input.shape,
            self.out_channels,
            self.is_rectified,
            self.threads,
        )
        if self.library.vfnet_winograd_conv2d(ctypes.byref(convolution)) != 0:
            raise MemoryError("no memory for a convolution")


class WinogradConvolution(KernelOperation):
    """`Convolution` of opset 1, 3x3, of stride 1 and padded by 1, and what follows it: a `WinogradKernel`."""

    class_type_info = ov.DiscreteTypeInfo("WinogradConvolution", "vfnet")

    def output_shape(self, inputs: Sequence[Any]) -> list[Any]:
        """The input's, with as many channels as there are filters."""
        batch, _, height, width = inputs[0]
        return [batch, self.kernel.out_channels, height, width]


TransformedFilters = dict[tuple[tuple[int, ...], bytes], NDArray[Any]]
"""By shape and digest: the levels of a head share theirs, and so do several networks of one process."""


def lower_plain_convolutions(model: ov.Model, threads: int, library_path: Path, transformed: TransformedFilters) -> int:
    """Replace the model's 3x3 `Convolution`s where they can be and it is worth it, with the bias and ReLU behind them.

    Which ones is told by their filters alone, so that an image has the same bits wherever it is computed.

    Args:
        threads: each may use.
        library_path: convolutions.c, compiled.
        transformed: filters of before; new ones are added.

    Returns:
        How many were replaced.
    """
    library = load_library(library_path)
    group = 0 if library is None else library.vfnet_winograd_group()
    if library is None or group == 0:
        return 0
    count = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution" or (weight := _suitable_filters(node)) is None:
            continue
        key = weight.shape, sha256(weight.tobytes()).digest()
        if key not in transformed:
            transformed[key] = transform_filters(weight, group)
        last, bias, is_rectified = _what_follows(node, len(weight))
        kernel = WinogradKernel(library, transformed[key], bias, is_rectified, len(weight), threads)
        lowered = WinogradConvolution([node.input_value(0)], kernel)
        lowered.set_friendly_name(node.get_friendly_name())
        last.output(0).replace(lowered.output(0))
        count += 1
    return count


def _suitable_filters(node: Any) -> NDArray[Any] | None:
    """Its filters; None where the convolution is none of ours."""
    attributes = node.get_attributes()
    pairs = [list(attributes[name]) for name in ("strides", "dilations", "pads_begin", "pads_end")]
    weight = constant(node.input_value(1).get_node())
    if weight is None or weight.shape[2:] != (3, 3) or pairs != [[1, 1]] * 4 or attributes["auto_pad"] != "explicit":
        return None
    channels = weight.shape[:2]
    return weight if min(channels) >= FEWEST_CHANNELS and not any(each % _CHANNELS for each in channels) else None


def _what_follows(node: Any, out_channels: int) -> tuple[Any, NDArray[Any] | None, bool]:
    """The last operation that the kernel computes, the bias, and whether ReLU is among them."""
    bias = None
    follower = _only_follower(node)
    if follower is not None and follower.get_type_name() == "Add":
        values = constant(follower.input_value(1).get_node())
        if values is not None and values.shape == (1, out_channels, 1, 1):
            node, bias, follower = follower, aligned(values.reshape(-1)), _only_follower(follower)
    if follower is not None and follower.get_type_name() == "Relu":
        return follower, bias, True
    return node, bias, False


def _only_follower(node: Any) -> Any:
    """The one operation that takes the node's output; None where there are more."""
    targets = node.output(0).get_target_inputs()
    return next(iter(targets)).get_node() if len(targets) == 1 else None
