"""From a `VFNetConfig` to the text of an MMDetection 2.28.2 config: the inverse of `read_model_config`."""

from __future__ import annotations

from typing import Any

from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, PreprocessConfig, VFNetConfig

MMDET_VERSION = "2.28.2"
"""Whose config this is."""
_INDENT = 4
_WIDTH = 100


def write_model_config(config: VFNetConfig) -> str:
    """A whole config, as `meta['config']` holds it: model, pipelines, data, and what `tools/train.py` asks for."""
    test_pipeline = _test_pipeline(config.preprocess)
    settings = {
        "model": _model(config),
        "dataset_type": "CocoDataset",
        "classes": list(config.classes),
        "train_pipeline": _train_pipeline(config.preprocess),
        "test_pipeline": test_pipeline,
        "data": {
            "samples_per_gpu": 2,
            "workers_per_gpu": 2,
            "train": _dataset(config, _train_pipeline(config.preprocess)),
            "val": _dataset(config, test_pipeline),
            "test": _dataset(config, test_pipeline),
        },
    }
    return "".join(f"{name} = {_format(value, 0)}\n" for name, value in settings.items())


def _model(config: VFNetConfig) -> dict[str, Any]:
    neck, test = config.neck, config.test
    return {
        "type": "VFNet",
        "backbone": _backbone(config.backbone),
        "neck": {
            "type": "FPN",
            "in_channels": list(neck.in_channels),
            "out_channels": neck.out_channels,
            "start_level": neck.start_level,
            "add_extra_convs": neck.add_extra_convs,
            "num_outs": neck.num_outs,
            "relu_before_extra_convs": neck.relu_before_extra_convs,
        },
        "bbox_head": _head(config.head),
        "train_cfg": {
            "assigner": {"type": "ATSSAssigner", "topk": 9},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {
            "nms_pre": test.nms_pre,
            "min_bbox_size": 0,
            "score_thr": test.score_threshold,
            "nms": {"type": "nms", "iou_threshold": test.iou_threshold},
            "max_per_img": test.max_per_img,
        },
    }


def _backbone(backbone: BackboneConfig) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "type": backbone.type,
        "depth": backbone.depth,
        "base_channels": backbone.base_channels,
        "stem_channels": backbone.stem_channels,
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "frozen_stages": backbone.frozen_stages,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": backbone.norm_eval,
        "style": backbone.style,
    }
    if backbone.type == "ResNeXt":
        settings |= {"groups": backbone.groups, "base_width": backbone.base_width}
    if backbone.type == "Res2Net":
        settings |= {"scales": backbone.scales, "base_width": backbone.base_width}
    else:  # Res2Net sets these itself, and takes none
        settings |= {"deep_stem": backbone.deep_stem, "avg_down": backbone.avg_down}
    if any(backbone.stage_with_dcn):
        settings |= {
            "dcn": {"type": "DCNv2", "deform_groups": backbone.deform_groups, "fallback_on_stride": False},
            "stage_with_dcn": backbone.stage_with_dcn,
        }
    return settings


def _head(head: HeadConfig) -> dict[str, Any]:
    return {
        "type": "VFNetHead",
        "num_classes": head.num_classes,
        "in_channels": head.in_channels,
        "stacked_convs": head.stacked_convs,
        "feat_channels": head.feat_channels,
        "strides": list(head.strides),
        "regress_ranges": head.regress_ranges,
        "center_sampling": False,
        "dcn_on_last_conv": head.dcn_on_last_conv,
        "bbox_norm_type": head.bbox_norm_type,
        "gradient_mul": head.gradient_mul,
        "norm_cfg": {"type": "GN", "num_groups": head.num_groups, "requires_grad": True},
        "use_atss": head.use_atss,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "ratios": [1.0],
            "octave_base_scale": 8,
            "scales_per_octave": 1,
            "center_offset": 0.0,
            "strides": list(head.strides),
        },
        "use_vfl": True,
        "loss_cls": {
            "type": "VarifocalLoss",
            "use_sigmoid": True,
            "alpha": 0.75,
            "gamma": 2.0,
            "iou_weighted": True,
            "loss_weight": 1.0,
        },
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 1.5},
        "loss_bbox_refine": {"type": "GIoULoss", "loss_weight": 2.0},
    }


def _train_pipeline(preprocess: PreprocessConfig) -> list[dict[str, Any]]:
    return [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "Resize", "img_scale": preprocess.img_scale, "keep_ratio": True},
        {"type": "RandomFlip", "flip_ratio": 0.5},
        _normalize(preprocess),
        {"type": "Pad", "size_divisor": preprocess.size_divisor},
        {"type": "DefaultFormatBundle"},
        {"type": "Collect", "keys": ["img", "gt_bboxes", "gt_labels"]},
    ]


def _test_pipeline(preprocess: PreprocessConfig) -> list[dict[str, Any]]:
    transforms = [
        {"type": "Resize", "keep_ratio": True},
        {"type": "RandomFlip"},
        _normalize(preprocess),
        {"type": "Pad", "size_divisor": preprocess.size_divisor},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    flips = {"type": "MultiScaleFlipAug", "img_scale": preprocess.img_scale, "flip": False, "transforms": transforms}
    return [{"type": "LoadImageFromFile"}, flips]


def _normalize(preprocess: PreprocessConfig) -> dict[str, Any]:
    mean, std = list(preprocess.mean), list(preprocess.std)
    return {"type": "Normalize", "mean": mean, "std": std, "to_rgb": preprocess.to_rgb}


def _dataset(config: VFNetConfig, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "CocoDataset",
        "classes": list(config.classes),
        "ann_file": "annotations.json",
        "img_prefix": "images/",
        "pipeline": pipeline,
    }


def _format(value: object, depth: int) -> str:
    """As mmcv writes it: dicts as `dict(...)`; what does not fit into a line is broken at its top level."""
    flat = _flat(value)
    if len(flat) + depth * _INDENT <= _WIDTH or not isinstance(value, (dict, list)):
        return flat
    inner, outer = " " * (depth + 1) * _INDENT, " " * depth * _INDENT
    if isinstance(value, dict):
        items = [f"{key}={_format(item, depth + 1)}" for key, item in value.items()]
        opening, closing = "dict(", ")"
    else:
        items = [_format(item, depth + 1) for item in value]
        opening, closing = "[", "]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{outer}{closing}"


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return "dict(" + ", ".join(f"{key}={_flat(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_flat(item) for item in value) + "]"
    return repr(value)
