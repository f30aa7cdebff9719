"""Scenes on disk are a data set like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from demonstration.rendered_scenes.dataset import write_rendered_dataset
from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.sample import HEIGHT, WIDTH, sample_scene, write_sample_scene
from demonstration.rendered_scenes.scene import render_scene
from PIL import Image

from vfnet_data.reading import read_dataset


def test_images_and_annotations_are_those_of_the_scenes(tmp_path: Path) -> None:
    dataset = read_dataset(write_rendered_dataset(tmp_path / "data", count=2, first_seed=7))
    assert dataset.classes == CLASSES
    assert [image.path.name for image in dataset.images] == ["scene_000007.png", "scene_000008.png"]
    for image, seed in zip(dataset.images, (7, 8), strict=True):
        scene = render_scene(seed)
        np.testing.assert_array_equal(np.asarray(Image.open(image.path)), scene.pixels)
        np.testing.assert_array_equal(image.boxes, scene.boxes)
        np.testing.assert_array_equal(image.labels, scene.labels)


def test_the_sample_shows_several_classes(tmp_path: Path) -> None:
    scene = sample_scene()
    assert len(set(scene.labels.tolist())) >= 3
    with Image.open(write_sample_scene(tmp_path / "new" / "sample.png")) as image:
        assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
        np.testing.assert_array_equal(np.asarray(image), scene.pixels)
