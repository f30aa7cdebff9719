"""A genuine mmdet-2.x checkpoint file with the reference's synthetic weights, made without mmdet."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from shared_data import SHARED
from vfnet_model.checkpoints.stock import COCO_CLASSES

CONFIG_TEXT = """
model = dict(
    type='VFNet',
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs='on_output',
        num_outs=5,
        relu_before_extra_convs=True),
    bbox_head=dict(
        type='VFNetHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=3,
        feat_channels=256,
        strides=[8, 16, 32, 64, 128],
        center_sampling=False,
        dcn_on_last_conv=True,
        use_atss=True,
        use_vfl=True,
        loss_cls=dict(
            type='VarifocalLoss',
            use_sigmoid=True,
            alpha=0.75,
            gamma=2.0,
            iou_weighted=True,
            loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=1.5),
        loss_bbox_refine=dict(type='GIoULoss', loss_weight=2.0)),
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
"""


def reference_keys() -> list[tuple[str, tuple[int, ...]]]:
    """The 403 keys and shapes that mmdet's own model has."""
    rows = (SHARED / "reference" / "golden" / "state_dict_keys.txt").read_text().splitlines()
    keys = []
    for row in rows:
        key, shape, _ = row.split("\t")
        keys.append((key, tuple(int(side) for side in shape.strip("()").split(",") if side.strip())))
    return keys


def write_reference_checkpoint(path: Path) -> Path:
    """Write the file that goldens/detections.json was recorded with; `path` again."""
    keys = reference_keys()
    state = _refweights().make_state(keys)
    tensors = {key: torch.from_numpy(np.asarray(state[key])).reshape(shape) for key, shape in keys}
    meta = {"mmdet_version": "2.28.2", "config": CONFIG_TEXT, "CLASSES": tuple(COCO_CLASSES), "epoch": 24, "iter": 0}
    torch.save({"meta": meta, "state_dict": tensors}, path)
    return path


def _refweights() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refweights", SHARED / "reference" / "refweights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
