"""Every network of mmdet 2.28.2's configs/vfnet, and fine-tuned ones: ours, in torch and OpenVINO, is mmdet's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from real_mmdet import needs_mmdet, run_in_mmdet
from shared_data import SHARED
from vfnet_build.engines import openvino
from vfnet_build.engines.native_code import compile_convolutions
from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.loading import Checkpoint, build_network, load_checkpoint
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine

pytestmark = needs_mmdet
LEVELS = 5
STEMS = (
    "vfnet_r50_fpn_1x_coco",
    "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco",
    "vfnet_r101_fpn_2x_coco",
    "vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco",
    "vfnet_x101_32x4d_fpn_mstrain_2x_coco",
    "vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
    "vfnet_x101_64x4d_fpn_mstrain_2x_coco",
    "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
    "vfnet_r2_101_fpn_mstrain_2x_coco",
    "vfnet_r2_101_fpn_mdconv_c3-c5_mstrain_2x_coco",
)
"""One of each architecture: the others are the same networks, trained otherwise."""
FINE_TUNED = {
    "model.backbone.base_channels": 32,
    "model.backbone.stem_channels": 48,
    "model.neck.in_channels": [128, 256, 512, 1024],
    "model.neck.out_channels": 96,
    "model.bbox_head.in_channels": 96,
    "model.bbox_head.feat_channels": 64,
    "model.bbox_head.num_classes": 3,
    "model.test_cfg.score_thr": 0.3,
    "model.test_cfg.nms.iou_threshold": 0.5,
    "model.test_cfg.max_per_img": 20,
    "model.test_cfg.nms_pre": 300,
}
DEFORMABLE = ("r50_fpn_mdconv", "x101_32x4d_fpn_mdconv", "r2_101_fpn_mdconv")


def compare_with_mmdet(stem: str, overrides: dict[str, object], folder: Path) -> Checkpoint:
    """Run mmdet's network and ours on the same weights and pixels; fail where they differ."""
    checkpoint_file, outputs = folder / "checkpoint.pth", folder / "outputs.npz"
    script = Path(__file__).with_name("mmdet_head_outputs.py")
    run_in_mmdet(script, stem, json.dumps(overrides), SHARED / "reference", checkpoint_file, outputs)
    checkpoint = load_checkpoint(checkpoint_file)
    checkpoint_file.unlink()  # up to 400 MB
    golden = np.load(outputs)
    predictor = DensePredictor(build_network(checkpoint)).eval()
    pixels, valid_shape = golden["pixels"], np.array([golden["pixels"].shape[1:3]], np.int32)
    with torch.no_grad():
        ours = [each.numpy() for each in predictor(torch.from_numpy(pixels), torch.from_numpy(valid_shape))]
    served = folder / "1"
    served.mkdir()
    openvino.export(predictor.network, served)
    compile_convolutions(served)
    engine = OpenVINOEngine(served / openvino.NETWORK)
    exported = engine.compute(pixels, valid_shape)
    engine.close()
    shutil.rmtree(served)
    expected = [golden[f"{name}_{level}"] for name in ("cls_score", "bbox_pred_refine") for level in range(LEVELS)]
    differences = [largest_relative_difference(found, expected) for found in (ours, exported)]
    print(f"{stem}: torch {differences[0]:.1e}, OpenVINO {differences[1]:.1e}")
    assert max(differences) <= 1e-4
    return checkpoint


def largest_relative_difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Over all outputs, the largest difference relative to the output's largest magnitude."""
    return max(float(np.abs(f - e).max() / np.abs(e).max()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("stem", STEMS)
def test_head_outputs_are_mmdets(stem: str, tmp_path: Path) -> None:
    config = compare_with_mmdet(stem, {}, tmp_path).config
    assert replace(config, classes=ARCHITECTURES[stem].classes) == ARCHITECTURES[stem]


@pytest.mark.parametrize("family", DEFORMABLE)
def test_fine_tuned_sizes_and_settings_are_mmdets(family: str, tmp_path: Path) -> None:
    checkpoint = compare_with_mmdet(f"vfnet_{family}_c3-c5_mstrain_2x_coco", FINE_TUNED, tmp_path)
    test = checkpoint.config.test
    assert (test.score_threshold, test.iou_threshold, test.max_per_img, test.nms_pre) == (0.3, 0.5, 20, 300)
    assert checkpoint.config.classes == ("class 0", "class 1", "class 2")


def test_all_config_files_are_read_as_one_of_these() -> None:
    listing = run_in_mmdet(Path(__file__).with_name("mmdet_configs.py"))
    texts: dict[str, str] = json.loads(listing.splitlines()[-1])
    assert len(texts) == 13
    configs = {stem: read_model_config(parse_config_text(text), [""] * 80) for stem, text in texts.items()}
    assert {configs[stem] for stem in STEMS} == set(configs.values())
    for stem, config in configs.items():
        assert replace(config, classes=ARCHITECTURES[stem].classes) == ARCHITECTURES[stem]
