"""A checkpoint in mmdet 2.x file format of made-up weights, the same everywhere, that sees something in any photograph.

It is quick to make and its boxes lie all over the image, overlapping: what tests of serving want. They mean nothing.
"""

from __future__ import annotations

import io
import os
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_runtime.architecture.vfnet import VFNet

CONFIG_TEXT = """\
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiScaleFlipAug',
        img_scale=(1333, 800),
        flip=False,
        transforms=[
            dict(type='Resize', keep_ratio=True),
            dict(type='RandomFlip'),
            dict(
                type='Normalize',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                to_rgb=True),
            dict(type='Pad', size_divisor=32),
            dict(type='DefaultFormatBundle'),
            dict(type='Collect', keys=['img'])
        ])
]
data = dict(test=dict(type='CocoDataset', pipeline=test_pipeline))
model = dict(
    type='VFNet',
    backbone=dict(
        type='ResNet',
        depth=50,
        base_channels=32,
        stem_channels=64,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)),
    neck=dict(
        type='FPN',
        in_channels=[128, 256, 512, 1024],
        out_channels=128,
        start_level=1,
        add_extra_convs='on_output',
        num_outs=5,
        relu_before_extra_convs=True),
    bbox_head=dict(
        type='VFNetHead',
        num_classes=4,
        in_channels=128,
        stacked_convs=3,
        feat_channels=128,
        strides=[8, 16, 32, 64, 128],
        center_sampling=False,
        dcn_on_last_conv=True,
        use_atss=True,
        use_vfl=True),
    train_cfg=dict(
        assigner=dict(type='ATSSAssigner', topk=9),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100))
"""


THIN_CONFIG_TEXT = (
    CONFIG_TEXT.replace("base_channels=32", "base_channels=8")
    .replace("stem_channels=64", "stem_channels=8")
    .replace("[128, 256, 512, 1024]", "[32, 64, 128, 256]")
    .replace("=128", "=32")
    .replace("(1333, 800)", "(333, 200)")
)
"""An eighth of the width, on small images: built and loaded in a second. It sees something from `talkative=3` on."""


def write_synthetic_checkpoint(path: Path, config_text: str = CONFIG_TEXT, talkative: float = 0.0) -> None:
    """Write the checkpoint; the same bytes every time with the same torch.

    As it stands a half-width ResNet-50 with DCNv2 in c3-c5; any of four classes. `meta['untrained']` is True.

    Args:
        talkative: added to every class's logit, for more boxes.
    """
    network = VFNet(read_model_config(parse_config_text(config_text), DEMO_CLASSES))
    state_dict = synthetic_weights(network)
    state_dict["bbox_head.vfnet_cls.bias"] += talkative
    checkpoint = {
        "meta": {
            "mmdet_version": "2.28.2",
            "config": config_text,
            "CLASSES": DEMO_CLASSES,
            "untrained": True,
        },
        "state_dict": state_dict,
    }
    buffer = io.BytesIO()  # saved to a path, the file would contain its own name
    torch.save(checkpoint, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(buffer.getvalue())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def synthetic_weights(network: VFNet) -> OrderedDict[str, Tensor]:
    """Weights of any VFNet, the same every time."""
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    return OrderedDict((key, _synthesise(key, shape, shapes)) for key, shape in shapes.items())


def _synthesise(key: str, shape: torch.Size, shapes: dict[str, torch.Size]) -> Tensor:
    """One tensor, from its name and shape alone."""
    # The legacy generator: NumPy promises its stream never changes.
    random = np.random.RandomState(zlib.crc32(key.encode()))
    leaf = key.rsplit(".", 1)[1]
    if leaf == "num_batches_tracked":
        return torch.tensor(1)
    if leaf == "scale":
        return torch.tensor(1.0)
    if leaf == "running_mean":
        values = random.normal(0, 0.1, shape)
    elif leaf == "running_var":
        values = random.uniform(0.8, 1.2, shape)
    elif leaf == "bias":
        values = random.normal(_BIAS.get(key, 0.0), 0.1, shape)
    elif len(shape) == 1:
        # The residual branches add a little each, or sixteen of them would explode.
        values = random.uniform(0.3, 0.6, shape) if ".bn3." in key else random.uniform(0.8, 1.2, shape)
    else:
        values = _filters(random, shape) * _gain(key, shapes)
    return torch.from_numpy(values.astype(np.float32))


# Found by trying: photographs get 3 to 40 boxes.
_BIAS: dict[str, float | tuple[float, ...]] = {
    "bbox_head.vfnet_cls.bias": (-6.75, -6.3, -5.7, -6.45),
    "bbox_head.vfnet_reg.bias": 0.9,
}
_GAINS = {
    "bbox_head.vfnet_cls.weight": 1.0,
    "bbox_head.vfnet_reg.weight": 0.15,
    "bbox_head.vfnet_reg_refine.weight": 0.1,
}


def _gain(key: str, shapes: dict[str, torch.Size]) -> float:
    """Standard deviation of the response to unit input; He et al., arXiv:1502.01852, where a ReLU follows."""
    if key in _GAINS:
        return _GAINS[key]
    if "conv_offset" in key:
        # Offsets of pixels would make the network chaotic: rounding in the last bit then moves boxes.
        return 0.2
    if key.startswith("neck."):
        return 1.0
    modulated = key.replace(".weight", ".conv_offset.weight") in shapes
    return float(np.sqrt(2.0)) * (2.0 if modulated else 1.0)  # masks are about 1/2


def _filters(random: np.random.RandomState, shape: torch.Size) -> npt.NDArray[np.float64]:
    """Zero-mean filters [out, in, kh, kw] of unit norm, half of whose variance does not change over the taps.

    Neighbouring places then answer alike, as in a trained network.
    """
    values = random.standard_normal(shape) + random.standard_normal((*shape[:2], 1, 1))
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    norm: npt.NDArray[np.float64] = np.sqrt((values**2).sum(axis=(1, 2, 3), keepdims=True))
    return values / norm
