"""A stand-in for the pretrained backbone: the same layers, other numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from demonstration.initial_checkpoint import demonstration_config, write_initial_checkpoint

from vfnet_runtime.architecture.resnet import ResNet

SCALE = (96, 64)


def plain_backbone() -> ResNet:
    """The demonstration's backbone before its convolutions were made deformable."""
    config = demonstration_config(SCALE).backbone
    return ResNet(replace(config, stage_with_dcn=(False,) * 4)).eval()


@pytest.fixture(scope="session")
def backbone_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("backbone") / "backbone.npz"
    weights = plain_backbone().state_dict()
    for name, value in weights.items():
        if name.endswith("bn3.weight"):
            value *= 0.2  # sixteen residual branches at full strength would drown every gradient
    np.savez(path, **{name: value.numpy() for name, value in weights.items()})
    return path


@pytest.fixture(scope="session")
def initial_checkpoint(backbone_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("initial") / "initial.pth"
    write_initial_checkpoint(backbone_weights, path, SCALE)
    return path
