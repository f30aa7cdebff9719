"""A data set of two made-up images, and ways to write it down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_data import AnnotatedImage, DetectionDataset
from vfnet_data.coco_writing import write_coco


@pytest.fixture
def dataset(tmp_path: Path) -> DetectionDataset:
    """A can and a carton, with a crowd of cartons on the first image; a can on the second."""
    truths = (
        ([[10, 10, 50, 50], [60, 10, 100, 90], [100, 50, 160, 110]], [0, 1, 1], [False, False, True]),
        ([[20, 20, 120, 100]], [0], [False]),
    )
    images = []
    for number, (boxes, labels, crowd) in enumerate(truths, 1):
        path = tmp_path / f"{number}.png"
        Image.effect_mandelbrot((160, 120), (-2, -1, 1, 1), 20).convert("RGB").save(path)
        arrays = np.array(boxes, np.float32), np.array(labels, np.int64), np.array(crowd)
        images.append(AnnotatedImage(path, number, 160, 120, *arrays))
    return DetectionDataset(("can", "carton"), tuple(images), (5, 3))


@pytest.fixture
def annotations(dataset: DetectionDataset, tmp_path: Path) -> Path:
    """The data set as COCO JSON."""
    write_coco(dataset, tmp_path / "truth.json")
    return tmp_path / "truth.json"
