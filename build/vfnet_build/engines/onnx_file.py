"""VFNet -> ONNX: the whole detector on any canvas, in batches, every type written down (a strongly typed network).

What reads it: TensorRT (from 10.1, which has DeformConv) and ONNX Runtime (from 1.25). OpenVINO's reader does not.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.onnx import register_custom_op_symbolic, symbolic_helper

from vfnet_build.architecture.deform_conv import register_torchvision_operator
from vfnet_build.architecture.detector import Detector
from vfnet_build.architecture.padding import mask_padding
from vfnet_build.architecture.vfnet import VFNet
from vfnet_build.engines.half_precision import use_half_precision

OPSET = 19
"""The first with DeformConv."""
INPUTS = ("PIXELS", "VALID_SHAPE")
OUTPUTS = ("CANDIDATE_BOXES", "CANDIDATE_SCORES", "CANDIDATE_LABELS")
DTYPES = {"f32": torch.float32, "fp16": torch.float16}


def write_onnx(network: VFNet, path: Path, precision: str = "f32") -> None:
    """Write the detector with weights to `path`; `network` stays as it is.

    Inputs and outputs are those of `vfnet_detector`, [N, ...]; canvases are multiples of 32. The candidates of each
    pyramid level are by falling score, level after level: TensorRT's TopK, which would have to sort them all, takes
    3840 at most, and `vfnet_postprocess` sorts what is not.
    """
    network = copy.deepcopy(network)
    if precision != "f32":
        use_half_precision(network, DTYPES[precision])
    detector = Detector(network, mask_padding(network), sort=False).eval()
    register_torchvision_operator()
    register_custom_op_symbolic("torchvision::deform_conv2d", _deform_conv, OPSET)
    # Two images of different sizes; on this canvas every level has a size of its own.
    example = (torch.zeros(2, 128, 160, 3, dtype=torch.uint8), torch.tensor([[128, 160], [90, 70]], dtype=torch.int32))
    batch = {0: "batch"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the tracer takes for constants is constant
        # The exporter by tracing: `torch.export` would fix what is looked up by the maps' sizes.
        torch.onnx.export(
            detector,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={
                "PIXELS": batch | {1: "height", 2: "width"},
                "VALID_SHAPE": batch,
                **dict.fromkeys(OUTPUTS, batch),
            },
        )


@symbolic_helper.parse_args("v", "v", "v", "v", "v", "i", "i", "i", "i", "i", "i", "i", "i", "b")
def _deform_conv(
    graph: Any,
    input: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    bias: Any,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Any:
    """`torchvision::deform_conv2d` -> ONNX's DeformConv, which orders offsets and taps alike."""
    return graph.op(
        "DeformConv",
        *(input, weight, offset, bias),
        *((mask,) if use_mask else ()),
        strides_i=[stride_h, stride_w],
        pads_i=[pad_h, pad_w, pad_h, pad_w],
        dilations_i=[dilation_h, dilation_w],
        group_i=groups,
        offset_group_i=offset_groups,
    )
