"""What is trained on is what the real mmdet trains on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from odd_annotations import write_odd_annotations
from real_mmdet import needs_mmdet, run_in_mmdet
from vfnet_train.data import read_sources, trainable_images

pytestmark = needs_mmdet
SCRIPT = Path(__file__).with_name("mmdet_training_targets.py")


def test_the_targets_of_odd_annotations_are_mmdets(tmp_path: Path) -> None:
    source = write_odd_annotations(tmp_path)
    expected = json.loads(run_in_mmdet(SCRIPT, source).splitlines()[-1])
    found = trainable_images(read_sources([source], [], skip_invalid=True), keep_empty=False).images
    assert [image.image_id for image in found] == [each["id"] for each in expected]
    for image, each in zip(found, expected, strict=True):
        counted = ~image.crowd
        np.testing.assert_array_equal(image.boxes[counted], np.array(each["boxes"], np.float32).reshape(-1, 4))
        np.testing.assert_array_equal(image.labels[counted], each["labels"])
