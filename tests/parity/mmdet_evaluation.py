"""Runs inside the real mmdet: ANNOTATIONS RESULTS -> the figures of CocoDataset.evaluate as JSON on stdout."""

import json
import sys
import warnings
from collections import defaultdict

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
from mmdet.datasets import CocoDataset  # noqa: E402


def main(annotations: str, results: str) -> None:
    """Detections come in COCO's result format and are given to mmdet as its detectors give them."""
    with open(annotations) as file:  # noqa: PTH123
        names = tuple(category["name"] for category in json.load(file)["categories"])
    with open(results) as file:  # noqa: PTH123
        entries = json.load(file)
    dataset = CocoDataset(annotations, [], classes=names, test_mode=True)
    rows = defaultdict(list)
    for entry in entries:
        x, y, width, height = entry["bbox"]
        rows[entry["image_id"], entry["category_id"]].append([x, y, x + width, y + height, entry["score"]])
    found = [
        [np.array(rows[image, category], np.float32).reshape(-1, 5) for category in dataset.cat_ids]
        for image in dataset.img_ids
    ]
    figures = dataset.evaluate(found, metric="bbox")
    print(json.dumps({key: value for key, value in figures.items() if isinstance(value, float)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
