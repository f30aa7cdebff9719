"""VFNet -> TorchScript (`model.pt`) for Triton's libtorch backend, whose server image links torchvision's operators.

Deformable convolutions are named `torchvision::deform_conv2d`. The file can be loaded on any device: a trace writes
down the device it was made on wherever a tensor is made, and here that is replaced by the device of the pixels.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch

from vfnet_build.engine_names import ENGINE_PRECISIONS
from vfnet_build.engines.half_precision import use_half_precision
from vfnet_runtime.architecture.deform_conv import register_torchvision_operator
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.padding import mask_padding
from vfnet_runtime.architecture.vfnet import VFNet

PRECISIONS = ENGINE_PRECISIONS["libtorch"]


def export(network: VFNet, directory: Path, precision: str = "f32") -> None:
    """Write `model.pt`: inputs and outputs are those of `Detector`, on any canvas and in batches."""
    network = copy.deepcopy(network)
    if precision == "fp16":
        use_half_precision(network, torch.float16)
    detector = Detector(network, mask_padding(network)).eval()
    register_torchvision_operator()
    # Two images of different sizes; on this canvas every level has a size of its own.
    example = (torch.zeros(2, 128, 160, 3, dtype=torch.uint8), torch.tensor([[128, 160], [90, 70]], dtype=torch.int32))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the tracer takes for constants is constant
        traced = torch.jit.trace(detector, example, check_trace=False)
        torch._C._jit_pass_inline(traced.graph)
        follow_device_of_input(traced.graph)
        torch.jit.save(traced, str(directory / "model.pt"))  # deprecated, and all that Triton's backend reads


def follow_device_of_input(graph: Any) -> None:
    """Replace every device that is written down in `graph` by that of its first tensor."""
    pixels = list(graph.inputs())[1]  # after the module itself
    device = graph.create("prim::device", [pixels], 1)
    device.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(device)
    for node in graph.findAllNodes("prim::Constant", True):
        if node.output().type().kind() == "DeviceObjType":
            node.output().replaceAllUsesWith(device.output())
