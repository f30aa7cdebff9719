"""A checkpoint and data to train on, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny_training import tiny_config, write_scenes
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.output_checkpoint import write_checkpoint
from vfnet_train.training_state import Position


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny VFNet as a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    write_checkpoint(path, VFNet(tiny_config()), Position(), {})
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The COCO JSON of eight pictures, which lie beside it."""
    return write_scenes(tmp_path_factory.mktemp("scenes") / "data")
