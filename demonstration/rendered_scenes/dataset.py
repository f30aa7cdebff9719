"""Rendered scenes as a data set on disk: images and COCO JSON."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from demonstration.rendered_scenes.objects import CLASSES
from demonstration.rendered_scenes.scene import render_scene
from vfnet_client.progress import with_progress
from vfnet_data.coco_writing import write_coco
from vfnet_data.dataset import AnnotatedImage, DetectionDataset

ANNOTATIONS = "annotations.json"


def write_rendered_dataset(folder: Path, count: int, first_seed: int, *, processes: int = 1) -> Path:
    """Render scenes `first_seed`, `first_seed` + 1, … into `folder`/images, PNG.

    Args:
        count: of scenes.
        processes: rendering beside each other; the pictures do not depend on it.

    Returns:
        The COCO JSON, written last: where it exists the data set is whole.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + count)
    paths = [images / f"scene_{seed:06d}.png" for seed in seeds]
    # Started afresh, not forked: this process may have threads that hold locks.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        rendered = pool.map(write_scene, paths, seeds)
        annotated = tuple(with_progress(rendered, count, "rendering scenes", "scene"))
    annotations = folder / ANNOTATIONS
    write_coco(DetectionDataset(CLASSES, annotated), annotations)
    return annotations


def write_scene(path: Path, seed: int, width: int = 499, height: int = 666) -> AnnotatedImage:
    """Render one scene into a PNG file; what is in it. Its `image_id` is the seed."""
    scene = render_scene(seed, width, height)
    part = path.with_suffix(".part")
    Image.fromarray(scene.pixels).save(part, "PNG")
    part.replace(path)
    crowd = np.zeros(len(scene.labels), np.bool_)
    return AnnotatedImage(path, seed, width, height, scene.boxes, scene.labels, crowd)
