"""A config written is the config read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.config_writing import write_model_config
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_model.checkpoints.stock import STOCK_CHECKPOINTS
from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, NeckConfig, PreprocessConfig, VFNetConfig
from vfnet_runtime.architecture.config import TestConfig as SuppressionConfig

SMALL = VFNetConfig(
    classes=("it's", 'a "quoted" name', "ä\n"),
    backbone=BackboneConfig(
        depth=101,
        base_channels=16,
        stem_channels=8,
        style="caffe",
        stage_with_dcn=(False, False, True, True),
        deform_groups=2,
        frozen_stages=-1,
        norm_eval=False,
        deep_stem=True,
    ),
    neck=NeckConfig((64, 128, 256, 512), 32, start_level=1, add_extra_convs="on_input", relu_before_extra_convs=False),
    head=HeadConfig(
        num_classes=3,
        in_channels=32,
        feat_channels=64,
        stacked_convs=2,
        bbox_norm_type="stride",
        gradient_mul=0.3,
        num_groups=16,
        use_atss=False,
    ),
    preprocess=PreprocessConfig((512, 384), (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), to_rgb=False, size_divisor=64),
    test=SuppressionConfig(nms_pre=500, score_threshold=0.1, iou_threshold=0.5, max_per_img=20),
)
OTHER_BACKBONES = {
    "resnext": BackboneConfig(type="ResNeXt", depth=101, groups=32, base_width=4),
    "res2net": BackboneConfig(type="Res2Net", depth=101, scales=4, base_width=26, deep_stem=True, avg_down=True),
}
CONFIGS = {
    **{name: stock.config for name, stock in STOCK_CHECKPOINTS.items()},
    "everything set": SMALL,
    **{name: VFNetConfig(("a",), backbone, head=HeadConfig(1)) for name, backbone in OTHER_BACKBONES.items()},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_setting_comes_back(name: str) -> None:
    config = CONFIGS[name]
    text = write_model_config(config)
    assert read_model_config(parse_config_text(text), config.classes) == config


def test_another_setting_is_another_text() -> None:
    other = replace(SMALL, test=replace(SMALL.test, max_per_img=21))
    assert write_model_config(other) != write_model_config(SMALL)


def test_lines_are_short_enough_to_read() -> None:
    assert max(len(line) for line in write_model_config(SMALL).splitlines()) <= 120
