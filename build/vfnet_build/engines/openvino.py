"""VFNet -> OpenVINO IR (`network.xml`, `network.bin`), any image size, one image per inference."""

from __future__ import annotations

import warnings
from pathlib import Path

import openvino as ov
import torch

from vfnet_build.engine_names import ENGINE_PRECISIONS
from vfnet_build.engines.group_normalization import normalise_each_group_on_one_thread
from vfnet_runtime.architecture.deform_conv import register_torchvision_operator
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet

PRECISIONS = ENGINE_PRECISIONS["openvino"]
"""What the engine may compute in. `export` writes float32; for int8 `vfnet_build.engines.quantization` follows."""
NETWORK = "network.xml"
"""The weights are beside it, in a file of the same name with the ending `.bin`."""


def export(network: VFNet, directory: Path) -> None:
    """Write `network.xml` and `network.bin` into `directory`.

    Inputs `pixels` uint8 [1, H, W, 3] and `valid_shape` int32 [1, 2]; outputs as `DensePredictor`'s.
    """
    register_torchvision_operator()
    predictor = DensePredictor(network).eval()
    # Any size will do: every shape in the trace is computed from the input's. Small is quick.
    example = (torch.zeros(1, 128, 160, 3, dtype=torch.uint8), torch.tensor([[128, 160]], dtype=torch.int32))
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns that kernel sizes and group counts become constants: they are.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(predictor, example, check_trace=False)
    model = ov.convert_model(traced, input=[([1, -1, -1, 3], ov.Type.u8), ([1, 2], ov.Type.i32)])
    for port, name in zip(model.inputs, ("pixels", "valid_shape"), strict=True):
        port.get_tensor().set_names({name})
    normalise_each_group_on_one_thread(model)
    ov.save_model(model, directory / NETWORK, compress_to_fp16=False)
