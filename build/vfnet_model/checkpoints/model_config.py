"""From an mmdet 2.x or 3.x config (as data) to a `VFNetConfig`, refusing what the architecture here does not build.

Keys and defaults are those of MMDetection 2.28.2's backbones, `FPN` and `VFNetHead`/`AnchorFreeHead`, of the
spellings of 2020 (v2.6.0), when the published checkpoints were made, and of 3.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vfnet_model.checkpoints.errors import UnsupportedModelError
from vfnet_model.checkpoints.pipeline_config import read_preprocess
from vfnet_model.checkpoints.settings import LIMITS, Settings
from vfnet_runtime.architecture.config import INF, BackboneConfig, HeadConfig, NeckConfig, TestConfig, VFNetConfig
from vfnet_runtime.architecture.resnet import EXPANSION, STAGE_BLOCKS

_STRIDES = (8, 16, 32, 64, 128)


def read_model_config(config: dict[str, Any], classes: Sequence[str]) -> VFNetConfig:
    """Understand a whole config.

    Args:
        config: what `parse_config_text` returns.
        classes: the class names in label order; their number must be the head's `num_classes`.

    Raises:
        UnsupportedModelError: naming the setting, the value found and what is supported.
    """
    if "model" not in config:
        raise UnsupportedModelError("the config has no `model`; expected is the whole config of a training")
    config = _without_scopes(config)
    model = Settings(config["model"], "model")
    model.one_of("type", ("VFNet",))
    model.ignore("pretrained", "init_cfg", "train_cfg")
    modern = "data_preprocessor" in model
    model.ignore("data_preprocessor")  # read with the pipeline
    backbone = read_backbone(model.section("backbone"))
    neck = _read_fpn(model.section("neck"), backbone)
    head = _read_head(model.section("bbox_head"), neck)
    if head.num_classes != len(classes):
        raise UnsupportedModelError(
            f"model.bbox_head.num_classes is {head.num_classes}, but there are {len(classes)} class names"
        )
    # Up to mmdet 2.6 train_cfg and test_cfg stood beside `model`.
    inner_test_cfg, outer_test_cfg = model.take("test_cfg", None), config.get("test_cfg")
    test = (
        _read_test_cfg(Settings(outer_test_cfg, "test_cfg"), modern)
        if inner_test_cfg is None and not modern  # in mmdet 3.x that is the name of the test loop's settings
        else _read_test_cfg(Settings(inner_test_cfg, "model.test_cfg"), modern)
    )
    model.finish()
    return VFNetConfig(tuple(classes), backbone, neck, head, read_preprocess(config), test)


def _without_scopes(value: Any) -> Any:
    """Type names without the library before them, as mmengine's registries allow it: `mmdet.VFNet`."""
    if isinstance(value, dict):
        return {
            key: item.removeprefix("mmdet.").removeprefix("mmcv.")
            if key == "type" and isinstance(item, str)
            else _without_scopes(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_without_scopes(item) for item in value)
    return value


def _read_fpn(settings: Settings, backbone: BackboneConfig) -> NeckConfig:
    settings.one_of("type", ("FPN",))
    channels = tuple(backbone.base_channels * EXPANSION * 2**stage for stage in range(4))
    settings.one_of("in_channels", (channels,))
    out_channels = settings.integer("out_channels")
    start_level = settings.one_of("start_level", (0, 1, 2, 3), 0)
    num_outs = settings.integer("num_outs")
    if num_outs < len(channels) - start_level:
        settings.refuse(
            "num_outs", num_outs, f"at least {len(channels) - start_level}, from start_level {start_level} on"
        )
    settings.only("end_level", -1, len(channels) - 1)
    source = settings.take("add_extra_convs", False)
    # Up to mmdet 2.x of 2020: add_extra_convs=True, and where from in a key of its own.
    on_inputs = settings.flag("extra_convs_on_inputs", True)
    if source is True:
        source = "on_input" if on_inputs else "on_output"
    if num_outs == len(channels) - start_level:
        source = "on_output"  # there is no extra level to make
    if source not in ("on_input", "on_lateral", "on_output"):
        settings.refuse("add_extra_convs", source, "True, 'on_input', 'on_lateral', 'on_output'")
    relu_before_extra_convs = settings.flag("relu_before_extra_convs", False)
    for key in ("conv_cfg", "norm_cfg", "act_cfg"):
        settings.only(key, None)
    settings.only("upsample_cfg", {"mode": "nearest"})
    settings.ignore("no_norm_on_lateral", "init_cfg")
    settings.finish()
    return NeckConfig(channels, out_channels, start_level, num_outs, source, relu_before_extra_convs)


def _read_head(settings: Settings, neck: NeckConfig) -> HeadConfig:
    settings.one_of("type", ("VFNetHead",))
    strides = settings.integers("strides", (4, 8, 16, 32, 64))
    if len(strides) != neck.num_outs:
        settings.refuse("strides", strides, f"one stride for each of the neck's {neck.num_outs} levels")
    head = HeadConfig(
        num_classes=settings.integer("num_classes"),
        in_channels=settings.one_of("in_channels", (neck.out_channels,)),
        feat_channels=settings.integer("feat_channels", 256),
        stacked_convs=settings.integer("stacked_convs", 4),
        strides=strides,
        dcn_on_last_conv=settings.flag("dcn_on_last_conv", False),
        bbox_norm_type=settings.one_of("bbox_norm_type", ("reg_denom", "stride"), "reg_denom"),
        regress_ranges=_read_regress_ranges(settings, len(strides)),
        gradient_mul=settings.number("gradient_mul", 0.1),
        num_groups=_read_group_norm(settings),
        use_atss=settings.flag("use_atss", True),
    )
    if head.feat_channels % head.num_groups:
        settings.refuse("feat_channels", head.feat_channels, f"multiples of norm_cfg.num_groups={head.num_groups}")
    # mmdet takes the points' strides and offset from here, wherever the boxes come from.
    anchors = settings.section("anchor_generator", {})
    anchor_strides = anchors.take("strides", _STRIDES)
    if anchor_strides != strides:
        settings.refuse("strides", strides, f"the same as anchor_generator.strides, {anchor_strides}")
    anchors.only("center_offset", 0.0)
    settings.only("conv_bias", "auto", False)
    settings.only("conv_cfg", None)
    settings.section("loss_cls", {}).only("use_sigmoid", True)
    coder = settings.section("bbox_coder", {})
    coder.only("type", "DistancePointBBoxCoder")
    coder.only("clip_border", True)
    coder.finish()
    settings.ignore("center_sampling", "center_sample_radius", "sync_num_pos", "loss_cls_fl", "use_vfl", "loss_bbox")
    settings.ignore("loss_bbox_refine", "reg_decoded_bbox", "train_cfg", "test_cfg", "init_cfg", "background_label")
    settings.finish()
    return head


def _read_regress_ranges(settings: Settings, levels: int) -> tuple[tuple[float, float], ...]:
    ranges = settings.take("regress_ranges", HeadConfig.regress_ranges)
    limit = LIMITS["regress_ranges"]
    if (
        type(ranges) is not tuple
        or len(ranges) != levels
        or levels < 2
        or any(type(pair) is not tuple or len(pair) != 2 or pair[0] not in limit for pair in ranges)
        or any(type(high) not in (int, float) or not (high in limit or high > INF) for _, high in ranges)
    ):
        settings.refuse("regress_ranges", ranges, f"a pair of numbers for each of the {levels} levels, two at least")
    return tuple((low, min(high, INF)) for low, high in ranges)


def _read_group_norm(settings: Settings) -> int:
    norm_cfg = settings.section("norm_cfg", {"type": "GN", "num_groups": 32})
    norm_cfg.one_of("type", ("GN",))
    num_groups = norm_cfg.integer("num_groups")
    norm_cfg.only("eps", 1e-5)
    norm_cfg.ignore("requires_grad")
    norm_cfg.finish()
    return num_groups


def _read_test_cfg(settings: Settings, modern: bool) -> TestConfig:
    nms = settings.section("nms")
    nms.only("type", "nms")
    iou_threshold = nms.number("iou_thr", None) if "iou_thr" in nms else nms.number("iou_threshold")
    for key, value in (("class_agnostic", False), ("offset", 0), ("split_thr", 10000)):
        nms.only(key, value)
    nms.finish()
    test = TestConfig(
        nms_pre=settings.integer("nms_pre"),
        score_threshold=settings.number("score_thr"),
        iou_threshold=iou_threshold,
        max_per_img=settings.integer("max_per_img"),
    )
    if modern:
        # mmdet 3.x drops boxes not wider and higher than this; 2.x's dense heads do not read it. Of boxes
        # without area, all that 0 drops, there are few: points in the padding, clipped to the image's edge.
        settings.only("min_bbox_size", 0, -1)
    settings.ignore("min_bbox_size", "deploy_nms_pre")
    settings.finish()
    return test


def read_backbone(settings: Settings) -> BackboneConfig:
    """Understand `model.backbone`.

    Raises:
        UnsupportedModelError: naming the setting, the value found and what is supported.
    """
    config = BACKBONES[settings.one_of("type", tuple(BACKBONES))](settings)
    settings.finish()
    _check_widths(config, settings.where)
    return config


def _check_widths(config: BackboneConfig, where: str) -> None:
    """Whether channels can be split as the settings ask for it, in every stage."""
    if config.deep_stem and config.stem_channels < 2:
        raise UnsupportedModelError(f"{where}.stem_channels is 1; supported with a deep stem: 2 and more")
    for stage, with_dcn in enumerate(config.stage_with_dcn):
        planes = config.base_channels * 2**stage
        width, groups = planes, 1
        if config.type == "Res2Net" or config.groups > 1:
            groups = config.groups
            width = math.floor(planes * (config.base_width / config.base_channels)) * groups
        if width < 1:
            raise UnsupportedModelError(
                f"{where}.base_width {config.base_width} of base_channels {config.base_channels} leaves no channel"
            )
        if with_dcn and width % config.deform_groups:
            raise UnsupportedModelError(
                f"{where}.dcn.deform_groups is {config.deform_groups}; supported: what divides the {width} channels of "
                f"stage {stage + 1}"
            )


def _read_resnet(settings: Settings) -> BackboneConfig:
    deep_stem, avg_down = settings.flag("deep_stem", False), settings.flag("avg_down", False)
    return replace(_read_stages(settings), deep_stem=deep_stem, avg_down=avg_down)


def _read_resnet_v1d(settings: Settings) -> BackboneConfig:
    # mmdet's class sets both itself and fails where the config does too.
    return replace(_read_stages(settings), deep_stem=True, avg_down=True)


def _read_resnext(settings: Settings) -> BackboneConfig:
    groups, base_width = settings.integer("groups", 1), settings.integer("base_width", 4)
    return replace(_read_resnet(settings), type="ResNeXt", groups=groups, base_width=base_width)


def _read_res2net(settings: Settings) -> BackboneConfig:
    scales, base_width = settings.integer("scales", 4), settings.integer("base_width", 26)
    # mmdet's class takes these three and overrides them: it is v1d in the pytorch style, whatever they say.
    settings.ignore("style", "deep_stem", "avg_down")
    return replace(
        _read_stages(settings), type="Res2Net", scales=scales, base_width=base_width, deep_stem=True, avg_down=True
    )


BACKBONES: dict[str, Callable[[Settings], BackboneConfig]] = {
    "ResNet": _read_resnet,
    "ResNetV1d": _read_resnet_v1d,
    "ResNeXt": _read_resnext,
    "Res2Net": _read_res2net,
}
"""How to read each supported `backbone.type`."""


def _read_stages(settings: Settings) -> BackboneConfig:
    """The settings that all of them share."""
    depth = settings.one_of("depth", tuple(STAGE_BLOCKS))
    base_channels = settings.integer("base_channels", 64)
    if settings.is_none("stem_channels"):
        settings.ignore("stem_channels")
    stem_channels = settings.integer("stem_channels", base_channels)
    style = settings.one_of("style", ("pytorch", "caffe"), "pytorch")
    frozen_stages = settings.integer("frozen_stages", -1)
    norm_eval = settings.flag("norm_eval", True)
    stage_with_dcn, deform_groups = _read_dcn(settings)
    _check_batch_norm(settings)
    for key, value in (
        ("in_channels", 3),
        ("num_stages", 4),
        ("strides", (1, 2, 2, 2)),
        ("dilations", (1, 1, 1, 1)),
        ("out_indices", (0, 1, 2, 3)),
        ("conv_cfg", None),
    ):
        settings.only(key, value)
    settings.only("plugins", None, ())
    settings.ignore("with_cp", "zero_init_residual", "pretrained", "init_cfg")
    return BackboneConfig(
        depth=depth,
        base_channels=base_channels,
        stem_channels=stem_channels,
        style=style,
        stage_with_dcn=stage_with_dcn,
        deform_groups=deform_groups,
        frozen_stages=frozen_stages,
        norm_eval=norm_eval,
    )


def _read_dcn(settings: Settings) -> tuple[tuple[bool, ...], int]:
    """`dcn` and `stage_with_dcn` -> which stages are deformable, deform groups."""
    dcn_values = settings.take("dcn", None)
    stages = settings.take("stage_with_dcn", (False,) * 4)
    if type(stages) is not tuple or len(stages) != 4 or any(type(stage) is not bool for stage in stages):
        settings.refuse("stage_with_dcn", stages, "four times True or False")
    if dcn_values is None:
        return (False,) * 4, 1
    dcn = Settings(dcn_values, f"{settings.where}.dcn")
    dcn.one_of("type", ("DCNv2",))
    deformable_groups = dcn.integer("deformable_groups", 1)  # the spelling of mmcv before 1.0
    deform_groups = dcn.integer("deform_groups", deformable_groups)
    dcn.only("fallback_on_stride", False)
    dcn.finish()
    return stages, deform_groups


def _check_batch_norm(settings: Settings) -> None:
    norm_cfg = settings.section("norm_cfg", {"type": "BN"})
    norm_cfg.one_of("type", ("BN", "BN2d", "SyncBN", "MMSyncBN"))
    norm_cfg.only("eps", 1e-5)
    norm_cfg.ignore("requires_grad", "momentum")
    norm_cfg.finish()
