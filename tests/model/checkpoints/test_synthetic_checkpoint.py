"""The checkpoint that most tests serve is the same everywhere and says that it is untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthetic_checkpoint import write_synthetic_checkpoint
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.loading import load_checkpoint


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "folder" / "synthetic.pth"
    write_synthetic_checkpoint(path)
    return path


def test_it_comes_out_the_same_under_any_name(synthetic: Path, tmp_path: Path) -> None:
    write_synthetic_checkpoint(tmp_path / "another.pth")
    assert (tmp_path / "another.pth").read_bytes() == synthetic.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["another.pth"]


def test_its_weights_are_those_of_every_other_machine(synthetic: Path) -> None:
    weight = load_checkpoint(synthetic).state_dict["backbone.conv1.weight"]
    expected = torch.tensor([0.19883887, 0.20297997, 0.22157651, 0.12743180])
    torch.testing.assert_close(weight.flatten()[:4], expected, rtol=1e-6, atol=0)


def test_what_says_that_it_is_untrained_is_called_so(synthetic: Path) -> None:
    checkpoint = load_checkpoint(synthetic)
    assert checkpoint.untrained
    assert checkpoint.description.startswith("UNTRAINED, its boxes mean nothing: VFNet ResNet-50")
    assert checkpoint.config.classes == DEMO_CLASSES
