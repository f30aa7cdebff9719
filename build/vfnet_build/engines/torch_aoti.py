"""VFNet -> an AOTInductor package (`model.pt2`) for the PyTorch backend of Triton 26.03 and later.

It takes TorchScript's place, which is deprecated. The package holds machine code for the device that it is built on: a
GPU where there is one, else the CPU. Built and run by us on the CPU, by PyTorch itself: not in Triton, nor on a GPU.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch

from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.padding import MULTIPLE, mask_padding
from vfnet_runtime.architecture.vfnet import VFNet

PRECISIONS = ("f32",)
MAX_BATCH_SIZE = 8
"""As in `configs/torch_aoti.pbtxt`."""
_LEAST, _MOST = 5, 64
"""Multiples of 32 that sides of a canvas may have: where the coarsest map has one row or column, code differs."""


def export(network: VFNet, directory: Path) -> None:
    """Write `model.pt2`: inputs and outputs are those of `Detector`, on any canvas from 160 pixels on and in batches.

    It takes minutes, and a C++ compiler.
    """
    program = exported(network)
    torch._inductor.aoti_compile_and_package(program, package_path=str(directory / "model.pt2"))


def exported(network: VFNet) -> Any:
    """The network as a `torch.export.ExportedProgram`, which any canvas and batch go through."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = copy.deepcopy(network)
    detector = Detector(network, mask_padding(network)).eval().to(device)
    # On this canvas every level has sides of its own, none of them 1.
    pixels = torch.zeros(2, 288, 416, 3, dtype=torch.uint8, device=device)
    valid_shape = torch.tensor([[288, 416], [200, 190]], dtype=torch.int32, device=device)
    images = torch.export.Dim("images", min=1, max=MAX_BATCH_SIZE)
    height, width = (torch.export.Dim(name, min=_LEAST, max=_MOST) for name in ("rows", "columns"))
    sides = ({0: images, 1: MULTIPLE * height, 2: MULTIPLE * width}, {0: images})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(detector, (pixels, valid_shape), dynamic_shapes=sides, strict=False)
