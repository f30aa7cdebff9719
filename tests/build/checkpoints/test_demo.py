"""The demo checkpoint is the same everywhere and says that it is untrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detections import detect
from resizing import resize_onto_canvas

from vfnet_build.architecture.detector import Detector
from vfnet_build.checkpoints.demo import DEMO_CLASSES, write_demo_checkpoint
from vfnet_build.checkpoints.loading import build_network, load_checkpoint
from vfnet_build.sample_scene import render_scene


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "folder" / "demo.pth"
    write_demo_checkpoint(path)
    return path


def test_it_comes_out_the_same_under_any_name(demo: Path, tmp_path: Path) -> None:
    write_demo_checkpoint(tmp_path / "another.pth")
    assert (tmp_path / "another.pth").read_bytes() == demo.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["another.pth"]


def test_its_weights_are_those_of_every_other_machine(demo: Path) -> None:
    weight = load_checkpoint(demo).state_dict["backbone.conv1.weight"]
    expected = torch.tensor([0.19883887, 0.20297997, 0.22157651, 0.12743180])
    torch.testing.assert_close(weight.flatten()[:4], expected, rtol=1e-6, atol=0)


def test_it_says_that_it_is_untrained(demo: Path) -> None:
    checkpoint = load_checkpoint(demo)
    assert checkpoint.untrained
    assert checkpoint.description.startswith("UNTRAINED demo, its boxes mean nothing: VFNet ResNet-50")
    assert checkpoint.config.classes == DEMO_CLASSES


def test_the_sample_scene_gets_some_boxes_of_all_classes(demo: Path) -> None:
    resized = resize_onto_canvas(np.asarray(render_scene()), (1333, 800), 32)
    detector = Detector(build_network(load_checkpoint(demo))).eval()
    with torch.inference_mode():
        found = detector(torch.from_numpy(resized.pixels), torch.from_numpy(resized.valid_shape))
    detections = detect(*(tensor[0].numpy() for tensor in found), resized.geometry[0, 2:], 0.6, 100)
    assert 5 <= len(detections.scores) <= 40
    assert set(detections.labels.tolist()) == set(range(len(DEMO_CLASSES)))
