"""The demonstration checkpoint in the repository is what its card says, and sees what the sample shows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.sample import sample_scene
from PIL import Image

from box_matching import box_iou
from vfnet_model.checkpoints.demo import DEMO_CHECKPOINT, DEMO_CLASSES, DEMO_MODEL_CARD, SAMPLE_PICTURE
from vfnet_model.checkpoints.loading import Checkpoint, load_checkpoint
from vfnet_model.checkpoints.torch_file import open_torch_file
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector, load_network

LARGEST = 25 * 10**6


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    return load_checkpoint(DEMO_CHECKPOINT)


def test_it_is_a_trained_half_width_vfnet_of_the_rendered_classes(demo: Checkpoint) -> None:
    assert not demo.untrained
    assert demo.config.classes == DEMO_CLASSES == CLASSES
    assert demo.config.backbone.base_channels == 32
    assert demo.config.backbone.stage_with_dcn == (False, True, True, True)


def test_it_is_small_and_tells_nothing_of_the_machine_that_made_it() -> None:
    assert DEMO_CHECKPOINT.stat().st_size <= LARGEST
    with open_torch_file(DEMO_CHECKPOINT) as file:
        meta = file.payload["meta"]
    assert set(meta) == {"mmdet_version", "config", "CLASSES", "epoch", "iter"}
    assert "'/" not in meta["config"]


def test_its_card_describes_this_file() -> None:
    card = DEMO_MODEL_CARD.read_text(encoding="utf-8")
    assert hashlib.sha256(DEMO_CHECKPOINT.read_bytes()).hexdigest() in card
    for heading in ("Model", "Data", "Training", "Figures", "Limits", "Licences"):
        assert f"\n## {heading}\n" in card


@pytest.mark.slow
def test_it_finds_everything_in_the_sample_and_nothing_else(demo: Checkpoint) -> None:
    scene = sample_scene()
    assert np.array_equal(np.asarray(Image.open(SAMPLE_PICTURE)), scene.pixels)
    found = CheckpointDetector(load_network(demo)).detect(SAMPLE_PICTURE)
    sure = found.scores >= 0.5
    assert sorted(found.labels[sure].tolist()) == sorted(scene.labels.tolist())
    iou = box_iou(scene.boxes.astype(np.float64), found.boxes[sure])
    iou[scene.labels[:, None] != found.labels[sure][None]] = 0
    assert (iou.max(axis=1) >= 0.7).all()
