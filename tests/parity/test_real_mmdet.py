"""Served detections against the real MMDetection, run beside, on photos that no golden knows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from box_matching import DetectionSet, compare
from parity_table import ParityTable
from served_inference import detect
from shared_data import ROOT, SHARED, needs_shared
from triton_server import ServedRepository
from vfnet_build.checkpoints.demo import write_demo_checkpoint

MMDET_PYTHON = Path(os.environ.get("VFNET_MMDET_PYTHON", ROOT / ".mmdet" / "bin" / "python"))
pytestmark = [
    needs_shared,
    pytest.mark.skipif(
        not MMDET_PYTHON.is_file(), reason="needs the real mmdet: `make parity` installs it into .mmdet"
    ),
]


def mmdet_detections(checkpoint: Path, images: Sequence[Path]) -> list[DetectionSet]:
    script = Path(__file__).with_name("mmdet_detections.py")
    environment = os.environ | {"PYTHONPATH": str(SHARED / "reference" / "stub")}
    command = [str(MMDET_PYTHON), str(script), str(checkpoint), *map(str, images)]
    answer = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode()[-2000:]
    last_line = answer.stdout.decode().splitlines()[-1]
    rows = [np.array(found, np.float64).reshape(-1, 6) for found in json.loads(last_line)]
    return [DetectionSet(row[:, :4], row[:, 4], row[:, 5].astype(np.int64)) for row in rows]


def assert_parity(
    served: ServedRepository, checkpoint: Path, images: Sequence[Path], table: ParityTable, kind: str
) -> None:
    expected = mmdet_detections(checkpoint, images)
    assert sum(len(each.scores) for each in expected) > 0
    comparisons = [
        compare(each, detect(served, image.read_bytes())) for each, image in zip(expected, images, strict=True)
    ]
    for image, comparison in zip(images, comparisons, strict=True):
        table.add(f"{image.name} ({kind})", comparison)
    assert not [wrong for comparison in comparisons for wrong in comparison.wrong]
    assert sum(len(c.flipped) for c in comparisons) <= 0.02 * sum(c.expected for c in comparisons)


def test_reference_weights(
    reference_server: ServedRepository, reference_checkpoint: Path, parity_table: ParityTable
) -> None:
    photos = sorted((SHARED / "data" / "coco_free" / "val2017").glob("*.jpg"))[:3]
    assert_parity(reference_server, reference_checkpoint, photos, parity_table, "reference weights")


def test_demonstration_checkpoint(server: ServedRepository, tmp_path: Path, parity_table: ParityTable) -> None:
    checkpoint = tmp_path / "demo.pth"
    write_demo_checkpoint(checkpoint)
    photos = sorted((SHARED / "data" / "odFridgeObjects" / "images").glob("*.jpg"))[:3]
    assert len(photos) == 3
    assert_parity(server, checkpoint, photos, parity_table, "demo checkpoint")
