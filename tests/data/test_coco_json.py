from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfnet_data import read_dataset

DOCUMENT: dict[str, Any] = {
    "images": [{"id": 9, "file_name": "a.jpg", "width": 40, "height": 30}],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 3, "bbox": [1, 2, 10, 20], "area": 77.5, "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 17, "bbox": [0, 0, 40.4, 30], "iscrowd": 1},
    ],
    "categories": [{"id": 17, "name": "cat"}, {"id": 3, "name": "car"}],
}


@pytest.fixture
def coco(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Path]:
    """Write the document after `change` was made to it."""
    write_image("a.jpg")

    def write(change: Callable[[Any], object] | None = None) -> Path:
        document = copy.deepcopy(DOCUMENT)
        if change is not None:
            change(document)
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(document))
        return path

    return write


def test_classes_follow_category_ids_and_ids_are_kept(coco: Callable[..., Path]) -> None:
    dataset = read_dataset(coco())
    assert (dataset.classes, dataset.category_ids) == (("car", "cat"), (3, 17))
    (image,) = dataset.images
    assert image.image_id == 9
    assert image.labels.tolist() == [0, 1]
    assert image.crowd.tolist() == [False, True]


def test_boxes_become_corners_and_rounding_over_the_edge_is_clipped(coco: Callable[..., Path]) -> None:
    np.testing.assert_array_equal(read_dataset(coco()).images[0].boxes, [[1, 2, 11, 22], [0, 0, 40, 30]])


def test_areas_are_the_data_s_own_where_there_are_any(coco: Callable[..., Path]) -> None:
    assert read_dataset(coco()).images[0].object_areas.tolist() == [77.5, 1200]


def test_classes_asked_for_set_the_order(coco: Callable[..., Path]) -> None:
    dataset = read_dataset(coco(), classes=("cat", "dog", "car"))
    assert dataset.classes == ("cat", "dog", "car")
    assert dataset.category_ids == (17, 18, 3)
    assert dataset.images[0].labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["annotations"][0].update(category_id=4), "annotations[0] (id 1): category_id 4 is no category's"),
        (lambda d: d["annotations"][0].update(image_id=4), "image_id 4 is no image's"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "expected is [x, y, width, height]"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]), "annotation 1: the box (1, 2, -2, 6) is inverted"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 0, 4]), "is empty"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 90, 4]), "reaches far out of its image (40 x 30 pixels)"),
        (lambda d: d["annotations"][0].update(bbox=[41, 2, 9, 4]), "lies outside its image (40 x 30 pixels)"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, None, 4]), "bbox is None, not a number"),
        (lambda d: d["annotations"][0].update(iscrowd=[]), "iscrowd is []"),
        (lambda d: d["annotations"][0].update(area=-1), "area is -1, below 0"),
        (lambda d: d["images"].append(dict(d["images"][0])), "a second image has the id 9"),
        (lambda d: d["images"].append(d["images"][0] | {"id": 10}), "is the image of image 9 (a.jpg) already"),
        (lambda d: d["images"][0].pop("file_name"), "file_name is None"),
        (lambda d: d["images"][0].update(id="a9"), "id is 'a9', not a whole number"),
        (lambda d: d["categories"][0].update(name="car"), "a second category is called 'car'"),
        (lambda d: d["categories"][0].update(id=3), "a second category has the id 3"),
        (lambda d: d.update(annotations={}), "annotations is {}, not a list"),
        (lambda d: d.update(images=[], annotations=[]), "holds no images"),
        (lambda d: d.pop("images"), "neither COCO JSON"),
    ],
)
def test_each_mistake_is_named(
    coco: Callable[..., Path], problems: Callable[..., str], change: Callable[[Any], object], said: str
) -> None:
    assert said in problems(coco(change))


def test_labels_outside_the_classes_asked_for_are_a_problem(
    coco: Callable[..., Path], problems: Callable[..., str]
) -> None:
    assert "annotation 2: unknown label 'cat'; known are car" in problems(coco(), classes=["car"])
