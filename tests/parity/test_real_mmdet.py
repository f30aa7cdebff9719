"""Served detections against the real MMDetection, run beside, on photos that no golden knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from box_matching import DetectionSet, compare
from parity_table import ParityTable
from real_mmdet import needs_mmdet, run_in_mmdet
from served_inference import detect
from shared_data import SHARED
from synthetic_checkpoint import write_synthetic_checkpoint
from triton_server import ServedRepository, serving
from vfnet_build.building import build
from vfnet_model.augmentations import Augmentations
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_model.detection_settings import DetectionSettings
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_model.detectors.network_detector import ONE_VIEW
from vfnet_model.manifest import BuildOptions
from vfnet_train.output_checkpoint import write_checkpoint
from vfnet_train.training_state import Position

pytestmark = needs_mmdet
SCRIPT = Path(__file__).with_name("mmdet_detections.py")
SETTINGS = DetectionSettings(scale=(500, 300), score_threshold=0.08, nms_iou=0.45, max_detections=8, nms_pre=150)


def mmdet_detections(
    checkpoint: Path, images: Sequence[Path], augmentations: Augmentations = ONE_VIEW
) -> list[DetectionSet]:
    scales = [f"--scale={width}x{height}" for width, height in augmentations.scales]
    options = [*scales, *(["--flip"] if augmentations.flip else [])]
    last_line = run_in_mmdet(SCRIPT, *options, checkpoint, *images).splitlines()[-1]
    rows = [np.array(found, np.float64).reshape(-1, 6) for found in json.loads(last_line)]
    return [DetectionSet(row[:, :4], row[:, 4], row[:, 5].astype(np.int64)) for row in rows]


def assert_parity(
    served: ServedRepository, checkpoint: Path, images: Sequence[Path], table: ParityTable, kind: str
) -> list[DetectionSet]:
    expected = mmdet_detections(checkpoint, images)
    assert_equal(expected, [detect(served, image.read_bytes()) for image in images], images, table, kind)
    return expected


def assert_equal(
    expected: Sequence[DetectionSet],
    found: Sequence[DetectionSet],
    images: Sequence[Path],
    table: ParityTable,
    kind: str,
) -> None:
    assert sum(len(each.scores) for each in expected) > 0
    comparisons = [compare(theirs, ours) for theirs, ours in zip(expected, found, strict=True)]
    for image, comparison in zip(images, comparisons, strict=True):
        table.add(f"{image.name} ({kind})", comparison)
    assert not [wrong for comparison in comparisons for wrong in comparison.wrong]
    assert sum(len(c.flipped) for c in comparisons) <= 0.02 * sum(c.expected for c in comparisons)


def test_reference_weights(
    reference_server: ServedRepository, reference_checkpoint: Path, parity_table: ParityTable
) -> None:
    photos = sorted((SHARED / "data" / "coco_free" / "val2017").glob("*.jpg"))[:3]
    assert_parity(reference_server, reference_checkpoint, photos, parity_table, "reference weights")


def test_demonstration_checkpoint(server: ServedRepository, demo_checkpoint: Path, parity_table: ParityTable) -> None:
    photos = sorted((SHARED / "data" / "odFridgeObjects" / "images").glob("*.jpg"))[:3]
    assert len(photos) == 3
    assert_parity(server, demo_checkpoint, photos, parity_table, "demo checkpoint")


@pytest.mark.served
def test_a_checkpoint_built_with_other_settings(parity_table: ParityTable, tmp_path: Path) -> None:
    """MMDetection is given the same weights, and a config that says itself what `SETTINGS` say."""
    write_synthetic_checkpoint(tmp_path / "own.pth", talkative=3.5)
    own = load_checkpoint(tmp_path / "own.pth")
    changed = replace(own, config=SETTINGS.applied_to(own.config))
    write_checkpoint(tmp_path / "changed.pth", build_network(changed), Position(), {})
    photos = sorted((SHARED / "data" / "coco_free" / "val2017").glob("*.jpg"))[:3]
    build(str(own.path), tmp_path / "repository", BuildOptions(detection=SETTINGS))
    with serving(tmp_path / "repository", tmp_path) as served:
        found = assert_parity(served, tmp_path / "changed.pth", photos, parity_table, "other settings")
    assert max(len(each.scores) for each in found) == SETTINGS.max_detections


def test_test_time_augmentation(parity_table: ParityTable, tmp_path: Path) -> None:
    """Both get `MultiScaleFlipAug`'s flip and two scales, small ones, so that it is quick."""
    write_synthetic_checkpoint(tmp_path / "own.pth", talkative=3.5)
    photos = sorted((SHARED / "data" / "coco_free" / "val2017").glob("*.jpg"))[:2]
    augmentations = Augmentations(flip=True, scales=((333, 200), (256, 160)))
    expected = mmdet_detections(tmp_path / "own.pth", photos, augmentations)
    detector = CheckpointDetector(tmp_path / "own.pth", augmentations)
    found = [DetectionSet(each.boxes, each.scores, each.labels) for each in map(detector.detect, photos)]
    assert_equal(expected, found, photos, parity_table, "flip and two scales")
