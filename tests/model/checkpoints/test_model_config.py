"""`read_model_config` understands mmdet's configs of 2020 to 2023 and refuses what cannot be built."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.errors import UnsupportedModelError
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_model.checkpoints.stock import COCO_CLASSES, DEFAULT_STOCK
from vfnet_runtime.architecture.config import PreprocessConfig, VFNetConfig

# As the first VFNet configs wrote it (October 2020, mmdet v2.6.0).
CONFIG_2020 = """\
model = dict(
    type='VFNet',
    pretrained='torchvision://resnet50',
    backbone=dict(
        type='ResNet',
        depth=50,
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
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs=True,
        extra_convs_on_inputs=False,
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
        loss_bbox_refine=dict(type='GIoULoss', loss_weight=2.0)))
train_cfg = dict(
    assigner=dict(type='ATSSAssigner', topk=9),
    allowed_border=-1,
    pos_weight=-1,
    debug=False)
test_cfg = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_thr=0.6),
    max_per_img=100)
dataset_type = 'CocoDataset'
data_root = 'data/coco/'
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
            dict(type='ImageToTensor', keys=['img']),
            dict(type='Collect', keys=['img'])
        ])
]
data = dict(
    samples_per_gpu=2,
    workers_per_gpu=2,
    test=dict(
        type='CocoDataset',
        ann_file='data/coco/annotations/instances_val2017.json',
        img_prefix='data/coco/val2017/',
        pipeline=test_pipeline))
optimizer = dict(
    type='SGD',
    lr=0.01,
    momentum=0.9,
    weight_decay=0.0001,
    paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0))
total_epochs = 24
log_level = 'INFO'
load_from = None
workflow = [('train', 1)]
"""


def read(text: str, classes: tuple[str, ...] = COCO_CLASSES) -> VFNetConfig:
    return read_model_config(parse_config_text(text), classes)


def changed(old: str, new: str) -> str:
    assert CONFIG_2020.count(old) == 1, old
    return CONFIG_2020.replace(old, new)


def test_the_config_of_2020_is_that_of_the_published_checkpoint() -> None:
    assert read(CONFIG_2020) == DEFAULT_STOCK.config


def test_the_spellings_of_2023_mean_the_same() -> None:
    text = changed("iou_thr=", "iou_threshold=").replace("    pretrained='torchvision://resnet50',\n", "")
    text = text.replace("add_extra_convs=True,\n        extra_convs_on_inputs=False", "add_extra_convs='on_output'")
    text = text.replace("weight=2.0)))\n", "weight=2.0)),\n").replace("train_cfg = dict(", "    train_cfg=dict(", 1)
    text = text.replace("debug=False)\ntest_cfg = dict(", "debug=False),\n    test_cfg=dict(")
    text = text.replace("max_per_img=100)\n", "max_per_img=100))\n")
    text = text.replace("style='pytorch',", "init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),")
    assert "\n    test_cfg=" in text
    assert read(text) == DEFAULT_STOCK.config


def test_absent_keys_take_mmdets_defaults() -> None:
    text = changed(", deform_groups=1, fallback_on_stride=False", "").replace("        frozen_stages=1,\n", "")
    text = text.replace("        relu_before_extra_convs=True", "").replace("        stacked_convs=3,\n", "")
    config = read(
        text.replace("        dcn_on_last_conv=True,\n", "").replace("        extra_convs_on_inputs=False,\n", "")
    )
    assert config.backbone.frozen_stages == -1
    assert config.backbone.deform_groups == 1
    assert config.neck.add_extra_convs == "on_input"
    assert not config.neck.relu_before_extra_convs
    assert config.head.stacked_convs == 4
    assert not config.head.dcn_on_last_conv


@pytest.mark.parametrize(
    ("old", "new", "part", "expected"),
    [
        ("depth=50", "depth=101", "backbone", {"depth": 101}),
        ("start_level=1", "start_level=1.0", "neck", {}),
        ("style='pytorch'", "style='caffe'", "backbone", {"style": "caffe"}),
        ("style='pytorch'", "deep_stem=True", "backbone", {"deep_stem": True}),
        ("type='ResNet'", "type='ResNetV1d'", "backbone", {"deep_stem": True, "avg_down": True}),
        ("type='ResNet'", "type='ResNeXt', groups=32", "backbone", {"type": "ResNeXt", "groups": 32}),
        ("type='ResNet'", "type='Res2Net', scales=6", "backbone",
         {"type": "Res2Net", "base_width": 26, "scales": 6, "deep_stem": True, "avg_down": True}),
        ("type='BN'", "type='SyncBN'", "backbone", {}),
        ("deform_groups=1", "deformable_groups=2", "backbone", {"deform_groups": 2}),
        ("(False, True, True, True)", "[False, False, False, True]", "backbone",
         {"stage_with_dcn": (False, False, False, True)}),
        ("add_extra_convs=True", "add_extra_convs='on_lateral'", "neck", {"add_extra_convs": "on_lateral"}),
        ("stacked_convs=3", "bbox_norm_type='stride', stacked_convs=2", "head",
         {"bbox_norm_type": "stride", "stacked_convs": 2}),
        ("use_atss=True", "use_atss=False", "head", {"use_atss": False}),
        ("stacked_convs=3", "norm_cfg=dict(type='GN', num_groups=16, requires_grad=True), stacked_convs=3", "head",
         {"num_groups": 16}),
        ("stacked_convs=3", "stacked_convs=3, regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, inf))",
         "head", {"regress_ranges": ((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8))}),
        ("img_scale=(1333, 800)", "img_scale=(800, 1333)", "preprocess", {}),
        ("img_scale=(1333, 800)", "img_scale=[(640, 640)]", "preprocess", {"img_scale": (640, 640)}),
        ("nms_pre=1000", "nms_pre=500", "test", {"nms_pre": 500}),
    ],
)  # fmt: skip
def test_a_setting_reaches_the_config(old: str, new: str, part: str, expected: dict[str, object]) -> None:
    stock = getattr(DEFAULT_STOCK.config, part)
    assert getattr(read(changed(old, new)), part) == replace(stock, **expected)


def test_the_caffe_normalisation_is_read() -> None:
    text = CONFIG_2020.replace("[58.395, 57.12, 57.375]", "[1.0, 1, 1.0]").replace("to_rgb=True", "to_rgb=False")
    assert read(text).preprocess == PreprocessConfig(std=(1.0, 1.0, 1.0), to_rgb=False)


def test_data_test_pipeline_goes_before_test_pipeline() -> None:
    text = changed(
        "pipeline=test_pipeline", "pipeline=" + CONFIG_2020.partition("test_pipeline = ")[2].partition("\ndata")[0]
    )
    assert read(text.replace("(1333, 800)", "(9, 9)", 1)).preprocess.img_scale == (1333, 800)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("type='VFNet',", "type='RetinaNet',", "model.type is 'RetinaNet'"),
        ("type='ResNet'", "type='RegNet'", "model.backbone.type is 'RegNet'; supported: 'ResNet', 'ResNetV1d', "),
        ("depth=50", "depth=18", "model.backbone.depth is 18; supported: 50, 101, 152"),
        ("type='ResNet'", "type='Res2Net', scales=1", "model.backbone.scales is 1"),
        ("style='pytorch'", "groups=32", "model.backbone.groups is 32"),
        ("style='pytorch'", "plugins=[dict(cfg=dict(type='ContextBlock'))]", "plugins is"),
        ("style='pytorch'", "with_attention=True", "model.backbone.with_attention is True"),
        ("type='BN'", "type='GN', num_groups=32", "model.backbone.norm_cfg.type is 'GN'"),
        ("out_indices=(0, 1, 2, 3)", "out_indices=(1, 2, 3)", "out_indices is (1, 2, 3)"),
        ("type='DCNv2'", "type='DCN'", "model.backbone.dcn.type is 'DCN'; supported: 'DCNv2'"),
        ("fallback_on_stride=False", "fallback_on_stride=True", "fallback_on_stride is True"),
        ("type='FPN'", "type='PAFPN'", "model.neck.type is 'PAFPN'"),
        ("add_extra_convs=True", "add_extra_convs=False", "add_extra_convs is False"),
        ("num_outs=5", "num_outs=5, conv_cfg=dict(type='DCNv2')", "model.neck.conv_cfg is {'type': 'DCNv2'}"),
        ("num_outs=5", "num_outs=6", "model.bbox_head.strides"),
        ("in_channels=[256, 512, 1024, 2048]", "in_channels=[64, 128, 256, 512]", "model.neck.in_channels"),
        ("in_channels=256", "in_channels=128", "model.bbox_head.in_channels is 128"),
        ("num_classes=80", "num_classes=3", "num_classes is 3, but there are 80 class names"),
        ("stacked_convs=3", "conv_bias=True", "conv_bias is True"),
        ("stacked_convs=3", "norm_cfg=None", "model.bbox_head.norm_cfg is None"),
        ("stacked_convs=3", "norm_cfg=dict(type='BN')", "model.bbox_head.norm_cfg.type is 'BN'"),
        ("feat_channels=256", "feat_channels=100", "feat_channels is 100"),
        ("strides=[8, 16, 32, 64, 128]", "strides=[4, 8, 16, 32, 64]", "anchor_generator.strides"),
        ("use_sigmoid=True", "use_sigmoid=False", "use_sigmoid is False"),
        ("iou_thr=0.6", "iou_thr=60", "iou_thr is 60"),
        ("dict(type='nms', iou_thr=0.6)", "dict(type='soft_nms', iou_thr=0.6)", "nms.type is 'soft_nms'"),
        ("dict(type='nms', iou_thr=0.6)", "dict(type='nms', iou_threshold=.6, class_agnostic=True)", "class_agnostic"),
        ("nms_pre=1000", "nms_pre=-1", "test_cfg.nms_pre is -1"),
        ("score_thr=0.05,", "", "test_cfg.score_thr is missing"),
        ("keep_ratio=True", "keep_ratio=False", "transforms[0].keep_ratio is False"),
        ("img_scale=(1333, 800)", "img_scale=[(1333, 800), (1000, 600)]", "img_scale is ((1333, 800), (1000, 600))"),
        ("flip=False", "flip=True", "flip is True"),
        ("size_divisor=32", "size=(800, 800)", "size_divisor is missing"),
        ("size_divisor=32", "size_divisor=10", "size_divisor is 10"),
        ("            dict(type='Pad', size_divisor=32),\n", "", "has [Resize, Normalize]"),
        ("dict(type='RandomFlip')", "dict(type='CenterCrop')", "transforms[1].type is 'CenterCrop'"),
        ("type='LoadImageFromFile'", "type='LoadImageFromFile', to_float32=True", "to_float32 is True"),
        ("pipeline=test_pipeline", "pipeline=[]", "data.test.pipeline is []"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_by_name(old: str, new: str, names: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        read(changed(old, new))
    assert names in str(caught.value)


def test_a_config_without_model_or_pipeline_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="no `model`"):
        read("a = 1")
    model_alone = CONFIG_2020.partition("dataset_type")[0]
    with pytest.raises(UnsupportedModelError, match=r"neither data\.test\.pipeline nor test_pipeline"):
        read(model_alone)


def test_whole_numbers_written_as_floats_become_integers() -> None:
    neck = read(changed("start_level=1", "start_level=1.0").replace("[256, 512,", "[256.0, 512,")).neck
    assert type(neck.start_level) is int
    assert [type(channels) for channels in neck.in_channels] == [int] * 4
    assert neck == DEFAULT_STOCK.config.neck
