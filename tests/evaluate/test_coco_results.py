from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfnet_data import DatasetError, DetectionDataset
from vfnet_evaluate.coco_results import read_coco_results, write_coco_results
from vfnet_model.detectors.image_detections import ImageDetections

ENTRY = {"image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


def test_what_is_written_reads_the_same(dataset: DetectionDataset, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 100, (5, 2, 2)), axis=1).reshape(5, 4)
    found = [ImageDetections(corners, random.random(5), random.integers(0, 2, 5)), ImageDetections.none()]
    write_coco_results(dataset, found, tmp_path / "found.json")
    assert {entry["category_id"] for entry in json.loads((tmp_path / "found.json").read_text())} == {3, 5}
    for expected, read in zip(found, read_coco_results(dataset, tmp_path / "found.json"), strict=True):
        np.testing.assert_allclose(read.boxes, expected.boxes, rtol=1e-12)
        np.testing.assert_array_equal(read.scores, expected.scores)
        np.testing.assert_array_equal(read.labels, expected.labels)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "not COCO's result format"),
        ([7], "[0]: is 7, not a JSON object"),
        ([ENTRY, ENTRY | {"image_id": 8}], "[1]: image_id 8 is no image's"),
        ([ENTRY | {"category_id": 1}], "category_id 1 is no category's"),
        ([ENTRY | {"score": "high"}], "score is 'high'"),
        ([ENTRY | {"bbox": [1, 2, 3]}], "bbox is [1, 2, 3]"),
        ([ENTRY | {"bbox": [1, 2, -3, 4]}], "negative side"),
        ([ENTRY | {"bbox": [1, 2, float("inf"), 4]}], "not a finite number"),
    ],
)
def test_each_mistake_is_named(dataset: DetectionDataset, tmp_path: Path, document: Any, said: str) -> None:
    (tmp_path / "found.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError) as raised:
        read_coco_results(dataset, tmp_path / "found.json")
    assert said in str(raised.value)
