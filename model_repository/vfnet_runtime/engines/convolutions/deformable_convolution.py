"""OpenVINO's deformable convolutions in float32, bfloat16 or 8-bit integers, by deformable_convolution.c.

OpenVINO 2026.4 computes them in float32 whatever the rest of a network is in, and takes longer for it.
`lower_deformable_convolutions` puts ours in their place where there is the compiled library and the processor can; else
OpenVINO's own go on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from vfnet_runtime.engines.convolutions.kernel_operation import KernelOperation, constant
from vfnet_runtime.engines.convolutions.library import aligned, load_library

PRECISIONS = {"bf16": 1, "int8": 2, "f32": 4}
"""Numbers and bits of deformable_sampling.h."""
_LANES = 16
_LANE_WIDTH = {"bf16": 2, "int8": 4, "f32": 1}
_INT8_LARGEST = 127


class _Convolution(ctypes.Structure):
    """`Convolution` of deformable_sampling.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "offset", "mask", "weight", "scale", "weight_sum", "output")),
        *(
            (name, ctypes.c_int32)
            for name in (
                *("channels", "height", "width", "out_channels", "out_height", "out_width"),
                *("kernel_height", "kernel_width", "stride_y", "stride_x", "pad_y", "pad_x"),
                *("dilation_y", "dilation_x", "offset_groups", "bundles", "runs", "run_channels"),
                *("precision", "threads"),
            )
        ),
    )


@dataclass(frozen=True)
class ChannelLayout:
    """How a layer's input channels lie in the library's order of them, and which are multiplied together."""

    offset_groups: int
    bundles: int
    """Products: each of one group, or of several that fill the lanes of one register together."""
    runs: int
    """Of a bundle; each run's channels have one offset group, and lanes of their own."""
    run_channels: int

    @property
    def run_lanes(self) -> int:
        """Of a run, the last ones empty."""
        return self.run_channels + -self.run_channels % _LANES


def lay_out_channels(channels: int, groups: int, offset_groups: int) -> ChannelLayout | None:
    """The layout; None where a group straddles two offset groups, and not whole ones of them."""
    group, offset_group = channels // groups, channels // offset_groups
    for together in range(max(1, _LANES // group), 0, -1):
        bundle = together * group
        if groups % together == 0 and (bundle % offset_group == 0 or offset_group % bundle == 0):
            run = min(bundle, offset_group)
            return ChannelLayout(offset_groups, groups // together, bundle // run, run)
    return None


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A kernel as the library reads it."""

    weight: NDArray[Any]
    """float32 [bundles, out lanes / 16, K, 16], bfloat16 as uint16 [.., K / 2, 16, 2] or int8 [.., K / 4, 16, 4];
    out lanes: a bundle's out channels, to a multiple of 16; K = taps x runs x lanes of a run."""
    scale: NDArray[Any]
    """float32 [bundles * out lanes]: the weight is the integer times this."""
    weight_sum: NDArray[Any]
    """int32 [bundles * out lanes]: the integers' sum over K."""


def pack_weight(weight: NDArray[Any], groups: int, layout: ChannelLayout, precision: str) -> PackedWeight:
    """float32 [out_channels, channels / groups, kernel_height, kernel_width] -> the library's order and precision."""
    out_channels, channels = weight.shape[:2]
    bundles, together = layout.bundles, groups // layout.bundles
    # A group sees nothing of the others of its bundle.
    own = weight.reshape(bundles, together, out_channels // groups, channels, -1)
    seen = np.zeros((bundles, together, out_channels // groups, together, channels, own.shape[-1]), np.float32)
    for index in range(together):
        seen[:, index, :, index] = own[:, index]
    rows = seen.reshape(bundles, out_channels // bundles, layout.runs, layout.run_channels, -1).transpose(0, 1, 4, 2, 3)
    lanes = [(0, -rows.shape[1] % _LANES), (0, 0), (0, 0), (0, layout.run_lanes - layout.run_channels)]
    rows = np.pad(rows, [(0, 0), *lanes])
    rows = np.ascontiguousarray(rows.reshape(bundles * rows.shape[1], -1))
    scale = np.abs(rows).max(axis=1) / _INT8_LARGEST
    if precision == "int8":
        values = np.rint(rows / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    else:
        values = to_bfloat16(rows) if precision == "bf16" else rows
    packed = values.reshape(len(rows) // _LANES, _LANES, -1, _LANE_WIDTH[precision]).transpose(0, 2, 1, 3)
    sums = values.astype(np.int32).sum(axis=1, dtype=np.int32) if precision == "int8" else np.zeros(len(rows), np.int32)
    return PackedWeight(aligned(packed), scale.astype(np.float32), sums)


def to_bfloat16(values: NDArray[Any]) -> NDArray[Any]:
    """float32 -> the upper half of its bits, rounded to nearest even, as uint16."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class DeformableKernel:
    """One layer's weights and geometry."""

    library: ctypes.CDLL
    packed: PackedWeight
    layout: ChannelLayout
    precision: str
    threads: int
    weight_shape: tuple[int, ...]
    strides: tuple[int, int]
    pads: tuple[int, int]
    dilations: tuple[int, int]

    def __call__(self, inputs: Sequence[NDArray[Any]], output: NDArray[Any]) -> None:
        """Convolve one image.

        Args:
            inputs: float32 [1, channels, height, width]; the offsets [1, offset_groups * 2 * taps, out_height,
                out_width], (dy, dx) per tap, in input pixels; and, if modulated, the masks [1, offset_groups * taps,
                out_height, out_width], else 1.
            output: float32 [1, out_channels, out_height, out_width], written to.

        Raises:
            MemoryError: memory is short.
        """
        input, offset, *masks = inputs
        convolution = _Convolution(
            input.ctypes.data,
            offset.ctypes.data,
            masks[0].ctypes.data if masks else None,
            self.packed.weight.ctypes.data,
            self.packed.scale.ctypes.data,
            self.packed.weight_sum.ctypes.data,
            output.ctypes.data,
            *input.shape[1:],
            *output.shape[1:],
            *self.weight_shape[2:],
            *self.strides,
            *self.pads,
            *self.dilations,
            self.layout.offset_groups,
            self.layout.bundles,
            self.layout.runs,
            self.layout.run_channels,
            PRECISIONS[self.precision],
            self.threads,
        )
        if self.library.vfnet_deform_conv2d(ctypes.byref(convolution)) != 0:
            raise MemoryError("no memory for a deformable convolution")


class LoweredDeformableConvolution(KernelOperation):
    """`DeformableConvolution` of opset 8, batch 1, computed by a `DeformableKernel`."""

    class_type_info = ov.DiscreteTypeInfo("LoweredDeformableConvolution", "vfnet")

    def output_shape(self, inputs: Sequence[Any]) -> list[Any]:
        """The offsets' height and width, as many channels as the weights have."""
        return [1, self.kernel.weight_shape[0], inputs[1][2], inputs[1][3]]


PackedWeights = dict[tuple[tuple[int, ...], ChannelLayout, bytes], PackedWeight]
"""By shape, layout and digest: the levels of a head share theirs, and so do several networks of one process."""


def lower_deformable_convolutions(
    model: ov.Model, precision: str, threads: int, library_path: Path, packed: PackedWeights
) -> int:
    """Replace the model's `DeformableConvolution`s where they can be.

    Args:
        precision: one of `PRECISIONS`; f32 takes its place where the processor does not compute in it.
        threads: each may use.
        library_path: convolutions.c, compiled.
        packed: kernels packed before, for this precision and library; new ones are added.

    Returns:
        How many were replaced.
    """
    library = load_library(library_path)
    computed_in = None if library is None else _nearest_precision(library, precision)
    if library is None or computed_in is None:
        return 0

    def make_kernel(weight: NDArray[Any], attributes: dict[str, Any]) -> DeformableKernel | None:
        groups = attributes["group"]
        layout = lay_out_channels(weight.shape[1] * groups, groups, attributes["deformable_group"])
        if layout is None:
            return None
        key = weight.shape, layout, sha256(weight.tobytes()).digest()
        if key not in packed:
            packed[key] = pack_weight(weight, groups, layout, computed_in)
        strides, pads, dilations = (tuple(attributes[name]) for name in ("strides", "pads_begin", "dilations"))
        return DeformableKernel(
            library, packed[key], layout, computed_in, threads, weight.shape, strides, pads, dilations
        )

    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "DeformableConvolution"]
    return sum(_lower(node, make_kernel) for node in nodes)


def _nearest_precision(library: ctypes.CDLL, wanted: str) -> str | None:
    """What the processor computes in instead of OpenVINO's float32, where it can."""
    offered = library.vfnet_deform_precisions()
    return next((name for name in (wanted, "f32") if offered & PRECISIONS[name]), None)


def _lower(node: Any, make_kernel: Callable[[NDArray[Any], dict[str, Any]], DeformableKernel | None]) -> bool:
    weight = constant(node.input_value(2).get_node())
    attributes = node.get_attributes()
    batch = node.get_output_partial_shape(0)[0]
    if weight is None or batch.is_dynamic or batch.get_length() != 1 or not attributes["bilinear_interpolation_pad"]:
        return False
    kernel = make_kernel(weight, attributes)
    if kernel is None:
        return False
    inputs = [node.input_value(index) for index in (0, 1, 3) if index < node.get_input_size()]
    lowered = LoweredDeformableConvolution(inputs, kernel)
    lowered.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(lowered.output(0))
    return True
