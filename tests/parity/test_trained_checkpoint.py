"""The checkpoint that a training writes is one that the real mmdet loads, and detects with as we do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from box_matching import DetectionSet, compare
from real_mmdet import needs_mmdet, run_in_mmdet
from tiny_training import HEIGHT, WIDTH, tiny_config
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.output_checkpoint import write_checkpoint
from vfnet_train.training_state import Position

pytestmark = needs_mmdet
SCRIPT = Path(__file__).with_name("mmdet_detections.py")


def test_mmdets_init_detector_and_inference_detector_take_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = VFNet(tiny_config())
    torch.nn.init.normal_(network.bbox_head.vfnet_cls.weight, std=0.3)
    torch.nn.init.constant_(network.bbox_head.vfnet_cls.bias, -2.0)  # or an untrained network would see nothing
    write_checkpoint(tmp_path / "last.pth", network, Position(epoch=1, step=10), {"AP": 0.5})
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).resize((2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "image.png")

    printed = run_in_mmdet(SCRIPT, tmp_path / "last.pth", tmp_path / "image.png")
    (rows,) = json.loads(printed.splitlines()[-1])
    theirs = np.array(rows, np.float64).reshape(-1, 6)
    found = CheckpointDetector(tmp_path / "last.pth").detect(tmp_path / "image.png")
    assert len(theirs) > 5
    comparison = compare(
        DetectionSet(theirs[:, :4], theirs[:, 4], theirs[:, 5].astype(np.int64)),
        DetectionSet(found.boxes, found.scores, found.labels),
    )
    assert not comparison.wrong
    assert len(comparison.flipped) <= 1
