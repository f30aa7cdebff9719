"""The same detections, scored by `vfnet evaluate` and by mmdet's own evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from real_mmdet import needs_mmdet, run_in_mmdet
from shared_data import SHARED
from vfnet_client.cli import main
from vfnet_data import DetectionDataset, read_dataset
from vfnet_evaluate.coco_results import write_coco_results
from vfnet_evaluate.error_kinds import KINDS, SIZES, error_kinds
from vfnet_model.detectors.image_detections import ImageDetections

pytestmark = needs_mmdet
DATA = SHARED / "data"
SETS = {
    "fridge": (DATA / "odFridgeObjects" / "coco_val.json", DATA / "odFridgeObjects" / "images"),
    "coco": (DATA / "coco_free" / "annotations" / "instances_val2017.json", DATA / "coco_free" / "val2017"),
}
THEIRS = {"AP": "mAP", "AP50": "mAP_50", "AP75": "mAP_75", "APs": "mAP_s", "APm": "mAP_m", "APl": "mAP_l"}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_ap_is_mmdet_s_to_four_decimals(name: str, seed: int, tmp_path: Path) -> None:
    annotations, images = SETS[name]
    results, figures = tmp_path / "results.json", tmp_path / "figures.json"
    dataset = read_dataset(annotations, images)
    write_coco_results(dataset, noisy_copies(dataset, seed), results)
    command = ["evaluate", "--annotations", str(annotations), "--images", str(images)]
    assert main([*command, "--detections", str(results), "--json", str(figures)]) == 0
    ours = json.loads(figures.read_text())
    theirs = json.loads(
        run_in_mmdet(Path(__file__).with_name("mmdet_evaluation.py"), annotations, results).splitlines()[-1]
    )
    assert 0.1 < ours["AP"] < 0.9
    for key, their_key in THEIRS.items():
        # mmdet rounds to four decimals; the last may fall either way.
        assert ours[key] == pytest.approx(theirs[f"bbox_{their_key}"], abs=5.1e-5), key


def test_error_kinds_are_those_of_mmdet_s_tool(tmp_path: Path) -> None:
    annotations, images = SETS["coco"]
    document = json.loads(annotations.read_text())
    document["categories"] = [each for each in document["categories"] if each["supercategory"] in ("vehicle", "food")]
    known = {each["id"] for each in document["categories"]}  # of all eighty, mmdet's tool takes 15 s
    document["annotations"] = [each for each in document["annotations"] if each["category_id"] in known]
    annotations = tmp_path / "truth.json"
    annotations.write_text(json.dumps(document))
    dataset = read_dataset(annotations, images)
    found = noisy_copies(dataset, 0)
    write_coco_results(dataset, found, tmp_path / "results.json")
    kinds = error_kinds(dataset, found)
    theirs = json.loads(
        run_in_mmdet(
            Path(__file__).with_name("mmdet_error_kinds.py"), annotations, tmp_path / "results.json"
        ).splitlines()[-1]
    )
    steps = set()
    for label, name in enumerate(dataset.classes):
        for column, size in enumerate(SIZES):
            ours = [kinds.area(kind, size, label) for kind in KINDS]
            if ours[-1] >= 0:  # without an object, mmdet has zeros
                assert ours == pytest.approx([row[column] for row in theirs[name]]), (name, size)
                steps |= {kind for kind, before, area in zip(KINDS[1:], ours, ours[1:], strict=False) if area > before}
    assert steps == set(KINDS[1:])  # each kind made a difference somewhere


def noisy_copies(dataset: DetectionDataset, seed: int) -> list[ImageDetections]:
    """What a fair detector might find: most objects, shifted, some under a wrong name, and some that are not there."""
    random = np.random.default_rng(seed)
    found = []
    for image in dataset.images:
        kept = random.random(len(image.boxes)) < 0.9
        sides = np.tile(image.boxes[kept, 2:] - image.boxes[kept, :2], 2)
        near = image.boxes[kept] + random.normal(0, 0.06, sides.shape) * sides
        corner = random.uniform(0, 0.8, (5, 2)) * [image.width, image.height]
        false = np.concatenate([corner, corner + random.uniform(10, 100, (5, 2))], axis=1)
        labels = np.concatenate([image.labels[kept], random.integers(0, len(dataset.classes), 5)])
        renamed = random.random(len(labels)) < 0.1
        labels[renamed] = random.integers(0, len(dataset.classes), np.count_nonzero(renamed))
        scores = np.concatenate([random.uniform(0.2, 1, len(near)), random.uniform(0.05, 0.6, 5)])
        # float32, as detectors give them: nothing to round on the way to mmdet.
        boxes = np.concatenate([near, false]).astype(np.float32).astype(np.float64)
        found.append(ImageDetections(boxes, scores.astype(np.float32).astype(np.float64), labels))
    return found
