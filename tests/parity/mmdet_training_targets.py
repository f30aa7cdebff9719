"""Runs inside the real mmdet: ANNOTATIONS -> what CocoDataset trains on as JSON on stdout, by image id in its order."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.datasets.pipelines import Resize  # noqa: E402


def main(annotations: str) -> None:
    """Boxes are clipped as its Resize does, to an image of the same size."""
    with open(annotations) as file:  # noqa: PTH123
        names = tuple(category["name"] for category in json.load(file)["categories"])
    dataset = CocoDataset(annotations, [], classes=names)
    targets = []
    for index, image_id in enumerate(dataset.img_ids):
        info, found = dataset.data_infos[index], dataset.get_ann_info(index)
        shape = (info["height"], info["width"])
        results = {
            "img": np.zeros((*shape, 3), np.uint8),
            "img_fields": ["img"],
            "bbox_fields": ["gt_bboxes"],
            "gt_bboxes": found["bboxes"],
        }
        clipped = Resize(img_scale=(max(shape), min(shape)), keep_ratio=True)(results)["gt_bboxes"]
        targets.append({"id": image_id, "boxes": clipped.tolist(), "labels": found["labels"].tolist()})
    print(json.dumps(targets))


if __name__ == "__main__":
    main(*sys.argv[1:])
