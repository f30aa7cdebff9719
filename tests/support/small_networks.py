"""Small VFNets of every kind of backbone, whose made-up weights find something: quick enough to try many sizes."""

from __future__ import annotations

import torch

from synthetic_checkpoint import synthetic_weights
from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, NeckConfig, TestConfig, VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet

_DEFORMABLE = (False, True, True, True)
BACKBONES = {
    "ResNet": BackboneConfig(base_channels=16, stem_channels=16),
    "ResNet deformable": BackboneConfig(base_channels=16, stem_channels=16, stage_with_dcn=_DEFORMABLE),
    "ResNeXt deformable": BackboneConfig(
        base_channels=16, stem_channels=16, type="ResNeXt", groups=4, base_width=4, stage_with_dcn=_DEFORMABLE
    ),
    "Res2Net deformable": BackboneConfig(
        base_channels=16,
        stem_channels=16,
        type="Res2Net",
        base_width=8,
        deep_stem=True,
        avg_down=True,
        stage_with_dcn=_DEFORMABLE,
    ),
}


def small_network(backbone: BackboneConfig, feat_channels: int = 32) -> VFNet:
    """A VFNet of 32 channels and four classes on this backbone, in evaluation mode."""
    widths = tuple(backbone.base_channels * factor for factor in (4, 8, 16, 32))
    config = VFNetConfig(
        classes=("one", "two", "three", "four"),
        backbone=backbone,
        neck=NeckConfig(in_channels=widths, out_channels=feat_channels),
        head=HeadConfig(
            num_classes=4,
            in_channels=feat_channels,
            feat_channels=feat_channels,
            num_groups=8,
            dcn_on_last_conv=any(backbone.stage_with_dcn),
        ),
        test=TestConfig(nms_pre=100),
    )
    network = VFNet(config)
    weights = synthetic_weights(network)
    weights["bbox_head.vfnet_cls.bias"] = torch.full((4,), -2.5)
    network.load_state_dict(weights)
    return network.eval()
