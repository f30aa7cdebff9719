"""A data set with everything that MMDetection does not train on, or trains on in a way of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

SIZES = {1: (64, 48), 2: (64, 48), 3: (64, 48), 4: (31, 64), 5: (32, 32), 6: (64, 48), 7: (64, 48), 8: (64, 48)}
"""Width and height by id."""
BOXES: dict[int, list[dict[str, Any]]] = {
    1: [
        {"bbox": [5, 5, 20, 20]},
        {"bbox": [30, 5, 20, 20], "ignore": 1},
        {"bbox": [30, 5, 0.4, 20]},
        {"bbox": [30, 5, 20, 0.99]},
        {"bbox": [30, 25, 1, 1]},
        {"bbox": [29.65, 28.33, 1.0, 1.0]},  # whose corners differ by less than 1, rounded
        {"bbox": [30, 30, 10, 10], "area": 0},
        {"bbox": [50, 30, 30, 10]},  # over the edge
        {"bbox": [63.5, 5, 20, 20]},  # half a pixel of it is inside
        {"bbox": [8, 8, 10, 10], "category_id": 2},
    ],
    2: [{"bbox": [5, 5, 20, 20], "iscrowd": 1}],  # an image without objects to mmdet
    3: [{"bbox": [5, 5, 20, 20], "ignore": 1}],
    4: [{"bbox": [5, 5, 20, 20]}],  # less than 32 wide
    5: [{"bbox": [5, 5, 20, 20]}],
    6: [],
    7: [{"bbox": [5, 5, 20, 0]}],  # a problem here, nothing there
    8: [{"bbox": [5, 5, 20, 20], "ignore": 0, "iscrowd": 0}, {"bbox": [70, 5, 20, 20]}],
}


def write_odd_annotations(folder: Path) -> Path:
    """Write the images and their COCO JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations: list[dict[str, Any]] = []
    for image_id, (width, height) in SIZES.items():
        Image.new("RGB", (width, height), (90, 10 * image_id, 30)).save(folder / f"{image_id}.png")
        for box in BOXES[image_id]:
            area = box["bbox"][2] * box["bbox"][3]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "area": area, "iscrowd": 0} | box
            )
    images = [
        {"id": image_id, "file_name": f"{image_id}.png", "width": width, "height": height}
        for image_id, (width, height) in SIZES.items()
    ]
    categories = [{"id": 1, "name": "can"}, {"id": 2, "name": "carton"}]
    path = folder / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
