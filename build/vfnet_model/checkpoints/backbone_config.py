"""From an mmdet config's `model.backbone` to a `BackboneConfig`: keys and defaults are MMDetection 2.28.2's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from vfnet_model.checkpoints.errors import UnsupportedModelError
from vfnet_model.checkpoints.settings import Settings
from vfnet_runtime.architecture.config import BackboneConfig
from vfnet_runtime.architecture.resnet import STAGE_BLOCKS


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
