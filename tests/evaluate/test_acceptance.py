"""An engine's file is accepted by its AP against the network it was made from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from small_networks import BACKBONES, small_network
from vfnet_evaluate.acceptance import compare_with_network
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_runtime.architecture.config import PreprocessConfig
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def network() -> VFNet:
    network = small_network(BACKBONES["ResNet"])
    network.config = dataclasses.replace(network.config, preprocess=PreprocessConfig(img_scale=(160, 128)))
    return network


@pytest.fixture(scope="module")
def dataset(network: VFNet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos whose objects are what the network itself is surest of."""
    folder = tmp_path_factory.mktemp("dataset")
    images, objects = [], []
    for number, name in enumerate(("china.jpg", "flower.jpg"), 1):
        photo = Image.fromarray(load_sample_image(name)).resize((160, 107))
        photo.save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 107})
        found = CheckpointDetector(network).detect(folder / f"{number}.png")
        for index in np.argsort(-found.scores)[:10]:
            x1, y1, x2, y2 = found.boxes[index].tolist()
            box = [x1, y1, x2 - x1, y2 - y1]
            label = int(found.labels[index]) + 1
            objects.append({"id": len(objects) + 1, "image_id": number, "category_id": label, "bbox": box,
                            "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(network.config.classes, 1)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))
    return path, folder


def candidates_of(network: VFNet, shift: float) -> Any:
    detector = Detector(network).eval()

    def candidates(pixels: Any, valid_shape: Any) -> tuple[Any, Any, Any]:
        with torch.inference_mode():
            outputs = detector(torch.from_numpy(pixels), torch.from_numpy(valid_shape))
        boxes, scores, labels = (output[0].numpy() for output in outputs)
        return boxes + np.float32(shift), scores, labels

    return candidates


def test_the_same_boxes_are_accepted_and_moved_ones_are_not(network: VFNet, dataset: tuple[Path, Path]) -> None:
    same = compare_with_network(network, candidates_of(network, 0.0), *dataset)
    assert same.exact > 0.5
    assert same.found == pytest.approx(same.exact, abs=1e-6)
    assert same.accepted
    assert same.sure.share == same.likely.share == 1
    assert same.likely.total >= same.sure.total > 0
    moved = compare_with_network(network, candidates_of(network, 6.0), *dataset)
    assert not moved.accepted
