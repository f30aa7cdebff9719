"""A data set as COCO JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import write_whole
from vfnet_data.dataset import AnnotatedImage, DetectionDataset


def write_coco(dataset: DetectionDataset, path: Path) -> None:
    """Write COCO's object detection JSON; `file_name` is relative to the folder of `path`."""
    write_whole(path, json.dumps(coco_document(dataset, path.parent)).encode() + b"\n")


def coco_document(dataset: DetectionDataset, folder: Path) -> dict[str, Any]:
    """The JSON document: `images`, `annotations`, `categories`; annotations are numbered from 1.

    Args:
        folder: what `file_name` is relative to.
    """
    annotations: list[dict[str, Any]] = []
    for image in dataset.images:
        for entry in _annotations(image, dataset.category_ids):
            annotations.append({"id": len(annotations) + 1, **entry})
    return {
        "images": [
            {
                "id": image.image_id,
                "file_name": Path(os.path.relpath(image.path, folder)).as_posix(),
                "width": image.width,
                "height": image.height,
            }
            for image in dataset.images
        ],
        "annotations": annotations,
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in zip(dataset.category_ids, dataset.classes, strict=True)
        ],
    }


def _annotations(image: AnnotatedImage, category_ids: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = zip(
        image.boxes.tolist(), image.labels.tolist(), image.crowd.tolist(), image.object_areas.tolist(), strict=True
    )
    return [
        {
            "image_id": image.image_id,
            "category_id": category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
        }
        for (x1, y1, x2, y2), label, crowd, area in rows
    ]
