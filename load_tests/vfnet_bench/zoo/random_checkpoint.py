"""A checkpoint of any VFNet with random weights that behave: it is as fast as a trained one, and sees something."""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from vfnet_client.atomic_files import write_whole
from vfnet_model.checkpoints.config_writing import MMDET_VERSION, write_model_config
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_runtime.architecture.vfnet import VFNet

_SEED = 0
_OFFSET_BIAS = 0.5
"""Standard deviation, pixels: taps on the grid, as before training, would be nearer to each other in memory."""
_LOGIT_GAIN, _LOGIT_BIAS = 2.0, -6.0
"""Logits of a standard deviation of one or two, of which a few in a hundred pass the score threshold."""


def write_random_checkpoint(config: VFNetConfig, path: Path) -> None:
    """Write an mmdet 2.x checkpoint; the same weights every time with the same torch."""
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = VFNet(config)
        for module in network.modules():
            if isinstance(module, ModulatedDeformConv2dPack):
                assert module.conv_offset.bias is not None
                nn.init.normal_(module.conv_offset.bias, std=_OFFSET_BIAS)
        logits = network.bbox_head.vfnet_cls
        assert logits.bias is not None
        nn.init.normal_(logits.weight, std=_LOGIT_GAIN / math.sqrt(logits.weight[0].numel()))
        nn.init.constant_(logits.bias, _LOGIT_BIAS)
    meta = {
        "mmdet_version": MMDET_VERSION,
        "config": write_model_config(config),
        "CLASSES": config.classes,
        "untrained": True,
    }
    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": OrderedDict(network.state_dict())}, buffer)
    write_whole(path, buffer.getvalue())
