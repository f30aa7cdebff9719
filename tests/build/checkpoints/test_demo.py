"""The demo checkpoint is the same everywhere and says that it is untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vfnet_build.architecture.detector import Detector
from vfnet_build.checkpoints.demo import DEMO_CLASSES, write_demo_checkpoint
from vfnet_build.checkpoints.loading import build_network, load_checkpoint


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


def test_a_photograph_gets_candidates(demo: Path) -> None:
    from sklearn.datasets import load_sample_image

    photo = load_sample_image("china.jpg")[:416, :640]
    detector = Detector(build_network(load_checkpoint(demo))).eval()
    with torch.inference_mode():
        _, scores, _ = detector(torch.from_numpy(photo.copy())[None], torch.tensor([photo.shape[:2]]))
    assert 20 < int((scores > 0.05).sum()) < 2000
