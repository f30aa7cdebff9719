"""VFNet -> ONNX (`DeformConv`, opset 19), any image size: for ONNX Runtime from 1.25 on, and for TensorRT."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vfnet_build.engines.half_precision import use_half_precision
from vfnet_runtime.architecture.deform_conv import register_torchvision_operator
from vfnet_runtime.architecture.detector import DensePredictor, Detector
from vfnet_runtime.architecture.padding import mask_padding
from vfnet_runtime.architecture.vfnet import VFNet

OPSET = 19
"""The first with `DeformConv`."""


INPUTS = ("PIXELS", "VALID_SHAPE")
OUTPUTS = ("CANDIDATE_BOXES", "CANDIDATE_SCORES", "CANDIDATE_LABELS")
"""What `export_detector` calls them: as `vfnet_detector` does."""


def export(network: VFNet, path: Path) -> None:
    """Write the network to the file `path`, whole or not at all.

    Inputs `pixels` uint8 [N, H, W, 3] and `valid_shape` int32 [N, 2]; outputs those of `DensePredictor`, named
    `cls_score_0`... and `bbox_pred_0`..., finest level first.
    """
    levels = range(len(network.config.head.strides))
    outputs = [*(f"cls_score_{level}" for level in levels), *(f"bbox_pred_{level}" for level in levels)]
    sides = {"pixels": {0: "N", 1: "H", 2: "W"}, "valid_shape": {0: "N"}}
    sides |= {name: {0: "N", 2: f"H_{name[-1]}", 3: f"W_{name[-1]}"} for name in outputs}
    _write(DensePredictor(network).eval(), path, outputs, sides)


def export_detector(network: VFNet, path: Path, precision: str = "f32") -> None:
    """Write the whole detector to the file `path`, on any canvas of multiples of 32, every type written down.

    `precision` is f32 or fp16. The candidates of each pyramid level are by falling score, level after level:
    TensorRT's TopK, which would have to sort them all, takes 3840 at most; `vfnet_postprocess` sorts what is not.
    """
    network = copy.deepcopy(network)
    if precision == "fp16":
        use_half_precision(network, torch.float16)
    sides = {"PIXELS": {0: "N", 1: "H", 2: "W"}, "VALID_SHAPE": {0: "N"}, **{name: {0: "N"} for name in OUTPUTS}}
    _write(Detector(network, mask_padding(network), sort=False).eval(), path, OUTPUTS, sides)


def _write(module: nn.Module, path: Path, outputs: Sequence[str], sides: dict[str, dict[int, str]]) -> None:
    """Trace a module of `DensePredictor`'s inputs; `sides` names inputs, outputs and their sides of any length."""
    register_torchvision_operator()
    torch.onnx.register_custom_op_symbolic("torchvision::deform_conv2d", _deform_conv, OPSET)
    # Two images of different sizes; on this canvas every level has a size of its own.
    example = (torch.zeros(2, 128, 160, 3, dtype=torch.uint8), torch.tensor([[128, 160], [90, 70]], dtype=torch.int32))
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The tracer warns that kernel sizes and group counts become constants: they are.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                module,
                example,
                str(beside),
                dynamo=False,  # the newer exporter does not take custom operators of a TorchScript library
                opset_version=OPSET,
                input_names=[name for name in sides if name not in outputs],
                output_names=list(outputs),
                dynamic_axes=sides,
            )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _deform_conv(
    graph: Any,
    input: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    bias: Any,
    stride_h: Any,
    stride_w: Any,
    pad_h: Any,
    pad_w: Any,
    dilation_h: Any,
    dilation_w: Any,
    groups: Any,
    offset_groups: Any,
    use_mask: Any,
) -> Any:
    """`torchvision::deform_conv2d` as an ONNX node; the two agree on the order of offsets and on the borders."""
    number = {
        name: torch.onnx.symbolic_helper._maybe_get_const(value, "i")
        for name, value in {
            "stride_h": stride_h, "stride_w": stride_w, "pad_h": pad_h, "pad_w": pad_w, "dilation_h": dilation_h,
            "dilation_w": dilation_w, "groups": groups, "offset_groups": offset_groups, "use_mask": use_mask,
        }.items()
    }  # fmt: skip
    inputs = [input, weight, offset, bias, *([mask] if number["use_mask"] else [])]
    return graph.op(
        "DeformConv",
        *inputs,
        kernel_shape_i=weight.type().sizes()[2:],
        strides_i=[number["stride_h"], number["stride_w"]],
        pads_i=[number["pad_h"], number["pad_w"]] * 2,
        dilations_i=[number["dilation_h"], number["dilation_w"]],
        group_i=number["groups"],
        offset_group_i=number["offset_groups"],
    )
