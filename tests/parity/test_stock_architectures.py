"""Each ResNet configuration of mmdet 2.28.2's configs/vfnet: its checkpoint loads, its network is ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from real_mmdet import needs_mmdet, run_in_mmdet
from shared_data import SHARED
from vfnet_build.checkpoints.loading import build_network, load_checkpoint

pytestmark = needs_mmdet
STEMS = (
    "vfnet_r50_fpn_1x_coco",
    "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco",
    "vfnet_r101_fpn_2x_coco",
    "vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco",
)


@pytest.mark.parametrize("stem", STEMS)
def test_head_outputs_are_mmdets(stem: str, tmp_path: Path) -> None:
    checkpoint, outputs = tmp_path / "checkpoint.pth", tmp_path / "outputs.npz"
    script = Path(__file__).with_name("mmdet_head_outputs.py")
    run_in_mmdet(script, stem, SHARED / "reference", checkpoint, outputs)
    golden = np.load(outputs)
    network = build_network(load_checkpoint(checkpoint))
    with torch.no_grad():
        cls_scores, _, bbox_preds_refine = network(torch.from_numpy(golden["image"]))
    for level in range(5):
        for name, found in (("cls_score", cls_scores[level]), ("bbox_pred_refine", bbox_preds_refine[level])):
            reference = golden[f"{name}_{level}"]
            assert np.abs(found.numpy() - reference).max() <= 1e-4 * np.abs(reference).max(), (name, level)
