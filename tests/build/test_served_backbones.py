"""Backbones other than ResNet, narrow and shallow, served by the real Triton: the answers are the torch network's."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from box_matching import DetectionSet, compare
from served_inference import detect
from synthetic_checkpoint import write_synthetic_checkpoint
from triton_server import serving
from vfnet_build.building import build
from vfnet_model.checkpoints.config_writing import write_model_config
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_model.manifest import BuildOptions
from vfnet_runtime.architecture.config import NeckConfig, PreprocessConfig, VFNetConfig

pytestmark = pytest.mark.served

# ResNet's own kinds are served everywhere else; parity/ holds every configuration to mmdet at full size. Made-up
# weights make a Res2Net with deformable convolutions chaotic: one bit of one pixel moves its outputs by a third.
STEMS = ("vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco", "vfnet_r2_101_fpn_mstrain_2x_coco")
CHANNELS = 16


def narrow(stem: str) -> VFNetConfig:
    """The stock configuration with a quarter of its channels and half of its blocks, on small images."""
    stock = ARCHITECTURES[stem]
    return replace(
        stock,
        classes=DEMO_CLASSES,
        backbone=replace(stock.backbone, depth=50, base_channels=CHANNELS),
        neck=NeckConfig(in_channels=tuple(CHANNELS * 4 * 2**stage for stage in range(4)), out_channels=64),
        head=replace(stock.head, num_classes=len(DEMO_CLASSES), in_channels=64, feat_channels=64),
        preprocess=PreprocessConfig(img_scale=(333, 200)),
    )


@pytest.mark.parametrize("stem", STEMS)
def test_it_is_served_as_torch_computes_it(stem: str, tmp_path: Path) -> None:
    checkpoint, repository = tmp_path / "narrow.pth", tmp_path / "repository"
    write_synthetic_checkpoint(checkpoint, write_model_config(narrow(stem)), talkative=3.0)
    build(str(checkpoint), repository, BuildOptions())
    buffer = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")).save(buffer, "PNG")
    found = CheckpointDetector(checkpoint).detect(buffer.getvalue())
    expected = DetectionSet(found.boxes, found.scores, found.labels)
    assert len(expected.scores) > 3
    with serving(repository, tmp_path) as served:
        outcome = compare(expected, detect(served, buffer.getvalue()))
    assert outcome.wrong == []
    assert outcome.matched >= len(expected.scores) - len(outcome.flipped)
