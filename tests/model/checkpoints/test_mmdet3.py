"""Checkpoints of mmdet 3.x: another place for everything, the same network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import UnsupportedModelError
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_model.checkpoints.stock import ARCHITECTURES, COCO_CLASSES, DEFAULT_STOCK, architecture_named

# As mmengine 0.10 writes vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco, less what has to do with training.
CONFIG_TEXT = """\
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        dcn=dict(deform_groups=1, fallback_on_stride=False, type='DCNv2'),
        depth=50,
        frozen_stages=1,
        init_cfg=dict(checkpoint='torchvision://resnet50', type='Pretrained'),
        norm_cfg=dict(requires_grad=True, type='BN'),
        norm_eval=True,
        num_stages=4,
        out_indices=(0, 1, 2, 3, ),
        stage_with_dcn=(False, True, True, True, ),
        style='pytorch',
        type='ResNet'),
    bbox_head=dict(
        center_sampling=False,
        dcn_on_last_conv=True,
        feat_channels=256,
        in_channels=256,
        loss_bbox=dict(loss_weight=1.5, type='GIoULoss'),
        loss_bbox_refine=dict(loss_weight=2.0, type='GIoULoss'),
        loss_cls=dict(alpha=0.75, gamma=2.0, iou_weighted=True, loss_weight=1.0, type='VarifocalLoss',
                      use_sigmoid=True),
        num_classes=80,
        stacked_convs=3,
        strides=[8, 16, 32, 64, 128, ],
        type='VFNetHead',
        use_atss=True,
        use_vfl=True),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53, ],
        pad_size_divisor=32,
        std=[58.395, 57.12, 57.375, ],
        type='DetDataPreprocessor'),
    neck=dict(
        add_extra_convs='on_output',
        in_channels=[256, 512, 1024, 2048, ],
        num_outs=5,
        out_channels=256,
        relu_before_extra_convs=True,
        start_level=1,
        type='FPN'),
    test_cfg=dict(
        max_per_img=100,
        min_bbox_size=0,
        nms=dict(iou_threshold=0.6, type='nms'),
        nms_pre=1000,
        score_thr=0.05),
    train_cfg=dict(allowed_border=-1, assigner=dict(topk=9, type='ATSSAssigner'), debug=False, pos_weight=-1),
    type='VFNet')
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/instances_val2017.json',
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(1333, 800, ), type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(meta_keys=('img_id', 'img_shape', 'scale_factor', ), type='PackDetInputs'),
        ],
        test_mode=True,
        type='CocoDataset'))
"""


def test_the_config_means_what_the_published_one_of_2x_means() -> None:
    assert read_model_config(parse_config_text(CONFIG_TEXT), COCO_CLASSES) == DEFAULT_STOCK.config


def test_scopes_before_type_names_change_nothing() -> None:
    text = CONFIG_TEXT
    for name in ("VFNet'", "ResNet'", "FPN'", "VFNetHead'", "Resize'", "DetDataPreprocessor'"):
        text = text.replace(f"'{name}", f"'mmdet.{name}")
    assert "'mmdet.VFNetHead'" in text
    assert read_model_config(parse_config_text(text), COCO_CLASSES) == DEFAULT_STOCK.config


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("min_bbox_size=0", "min_bbox_size=8", "model.test_cfg.min_bbox_size is 8; supported: 0, -1"),
        ("pad_size_divisor=32", "pad_size_divisor=1", "data_preprocessor.pad_size_divisor is 1; supported: multiples"),
        ("pad_size_divisor=32", "pad_size_divisor=32, pad_value=114", "data_preprocessor.pad_value is 114"),
        ("bgr_to_rgb=True", "batch_augments=[dict()]", "batch_augments is"),
        ("'DetDataPreprocessor'", "'MyPreprocessor'", "model.data_preprocessor.type is 'MyPreprocessor'"),
        ("keep_ratio=True", "keep_ratio=False", "pipeline[1].keep_ratio is False"),
        ("scale=(1333, 800, )", "scale=None", "pipeline[1].scale is None"),
        ("type='Resize'", "type='FixShapeResize'", "pipeline[1].type is 'FixShapeResize'"),
        ("dict(type='LoadAnnotations', with_bbox=True)", "dict(type='Normalize')", "pipeline[2].type is 'Normalize'"),
        ("type='LoadImageFromFile'", "type='LoadImageFromFile', imdecode_backend='pillow'", "imdecode_backend is"),
        ("            dict(keep_ratio=True, scale=(1333, 800, ), type='Resize'),\n", "", "has no Resize"),
    ],
)
def test_what_would_change_the_result_is_refused_by_name(old: str, new: str, says: str) -> None:
    assert CONFIG_TEXT.count(old) == 1
    with pytest.raises(UnsupportedModelError) as caught:
        read_model_config(parse_config_text(CONFIG_TEXT.replace(old, new)), COCO_CLASSES)
    assert says in str(caught.value)


def test_bgr_stays_bgr_unless_asked_for() -> None:
    config = read_model_config(parse_config_text(CONFIG_TEXT.replace("bgr_to_rgb=True,", "")), COCO_CLASSES)
    assert not config.preprocess.to_rgb


def modern_meta(tiny_config_text: str) -> dict[str, object]:
    """mmengine's metadata for the tiny network, none of 2.x's."""
    model = tiny_config_text[tiny_config_text.index("model = dict(") :].partition("\ntest_pipeline")[0]
    preprocessor = CONFIG_TEXT[CONFIG_TEXT.index("data_preprocessor=") : CONFIG_TEXT.index("    neck=")]
    model = model.replace("model = dict(", f"model = dict({preprocessor}", 1)
    loader = CONFIG_TEXT[CONFIG_TEXT.index("test_cfg = dict(type") :]
    text = f"{model}\n{loader}"
    return {"config": None, "CLASSES": None, "cfg": text, "dataset_meta": {"classes": DEMO_CLASSES, "palette": []}}


def test_a_checkpoint_with_mmengines_log_in_it_is_read(
    save: Callable[..., Path], tiny_config_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("mmengine.logging.history_buffer")
    buffer_class = type("HistoryBuffer", (), {"__module__": module.__name__})
    module.HistoryBuffer = buffer_class  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for name in ("mmengine", "mmengine.logging"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        buffer = buffer_class()
        buffer.__dict__.update(max_length=1000, _log_history=np.array([1.5, 0.5]), _count_history=np.array([1, 1]))
        path = save(meta=modern_meta(tiny_config_text), message_hub={"log_scalars": {"train/loss": buffer}})
    checkpoint = load_checkpoint(path)
    assert checkpoint.config.classes == DEMO_CLASSES
    assert checkpoint.config.preprocess.img_scale == (1333, 800)


@pytest.mark.parametrize("key", ["CLASSES", "classes"])
def test_class_names_are_found_in_the_datasets_metadata(
    save: Callable[..., Path], tiny_config_text: str, key: str
) -> None:
    meta = modern_meta(tiny_config_text) | {"dataset_meta": {key: list("abcd")}}
    assert load_checkpoint(save(meta=meta)).config.classes == ("a", "b", "c", "d")


@pytest.mark.parametrize("prefix", ["model.", "module.model.", "module."])
def test_prefixes_of_wrappers_are_taken_off(
    save: Callable[..., Path], tiny_state_dict: dict[str, torch.Tensor], prefix: str
) -> None:
    wrapped = {f"{prefix}{key}": value for key, value in tiny_state_dict.items()}
    assert load_checkpoint(save(state_dict=wrapped)).state_dict.keys() == tiny_state_dict.keys()


@pytest.mark.parametrize(
    ("modern", "stem"),
    [
        ("vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco", "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"),
        ("mmd-3x-vfnet_x101-64x4d-mdconv-c3-c5_fpn_ms-2x_coco", "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco"),
        ("vfnet_res2net-101_fpn_ms-2x_coco", "vfnet_r2_101_fpn_mstrain_2x_coco"),
        ("vfnet_res2net101-mdconv-c3-c5_fpn_ms-2x_coco", "vfnet_r2_101_fpn_mdconv_c3-c5_mstrain_2x_coco"),
    ],
)
def test_architectures_are_known_by_mmdet_3s_names(modern: str, stem: str) -> None:
    assert architecture_named(modern) is ARCHITECTURES[stem]
