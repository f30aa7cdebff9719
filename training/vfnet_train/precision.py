"""Mixed precision: convolutions in 16 bits, and in float32 what becomes box corners."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from vfnet_runtime.architecture.vfnet import VFNet

MEMORY_FORMAT = torch.channels_last
"""How images and weights lie in memory: on a CPU 1.1 (f32) to 1.3 (bf16) times faster than torch's own."""


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass for `f32`, `bf16` or `fp16`; losses are computed outside it."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def gradient_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Scales losses in `fp16`, whose small gradients would vanish; does nothing in the others."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def keep_in_float32(network: VFNet) -> None:
    """Let autocast pass by the convolutions that must not be in 16 bits.

    These are the two whose output is exponentiated into distances, for bfloat16 has 8 bits for the logarithm of a
    distance: pixels, in a large box. And those that make the pyramid's last levels, for on maps of a pixel or two
    oneDNN's bfloat16 gradient of their weights reads memory that nobody wrote (torch 2.13 on CPUs): now and then NaN.
    """
    extra_levels = list(network.neck.fpn_convs)[len(network.neck.lateral_convs) :]
    for convolution in (
        network.bbox_head.vfnet_reg,
        network.bbox_head.vfnet_reg_refine,
        *(module for level in extra_levels for module in level.modules() if type(module) is nn.Conv2d),
    ):
        convolution.__class__ = _Float32Conv2d  # weights, names and copies stay what they are


class _Float32Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())
