"""Before its training the demonstration's network computes what its backbone has learnt elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from demonstration.initial_checkpoint import demonstration_config, load_backbone

from shared_data import SHARED
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.architecture.resnet import ResNet
from vfnet_train.errors import FinetuneError

from .conftest import SCALE, plain_backbone


def assert_same_features(deformable: ResNet, plain: ResNet) -> None:
    images = 50 * torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for found, expected in zip(deformable(images), plain(images), strict=True):
            assert expected.std() > 0
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_deformable_convolutions_start_as_the_ordinary_ones_they_replace(
    initial_checkpoint: Path, backbone_weights: Path
) -> None:
    plain = plain_backbone()
    load_backbone(plain, backbone_weights)
    checkpoint = load_checkpoint(initial_checkpoint)
    assert all(checkpoint.config.backbone.stage_with_dcn[1:])
    assert_same_features(build_network(checkpoint).backbone, plain)


def test_the_real_backbone_answers_as_it_was_trained_to() -> None:
    weights = SHARED / "weights" / "thin_resnet50_backbone.npz"
    if not weights.exists():
        pytest.skip("needs ../shared, which is not here")
    plain, deformable = plain_backbone(), ResNet(demonstration_config(SCALE).backbone).eval()
    load_backbone(plain, weights)
    load_backbone(deformable, weights)
    assert_same_features(deformable, plain)


def test_it_says_what_it_is(initial_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(initial_checkpoint)
    assert checkpoint.untrained
    assert checkpoint.config.preprocess.img_scale == SCALE
    assert checkpoint.config.preprocess.mean == (104.0, 117.0, 123.0)
    assert not checkpoint.config.preprocess.to_rgb


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights: weights.pop("bn1.weight"), "lacks bn1.weight"),
        (lambda weights: weights.update(fc=np.zeros(3)), "has fc, which the backbone does not"),
        (lambda weights: weights.update({"conv1.weight": np.zeros((8, 3, 7, 7))}), r"size mismatch for conv1.weight"),
    ],
)
def test_other_weights_are_refused_by_name(
    change: Callable[[dict[str, object]], object], reason: str, backbone_weights: Path, tmp_path: Path
) -> None:
    weights = dict(np.load(backbone_weights))
    change(weights)
    np.savez(tmp_path / "other.npz", **weights)
    with pytest.raises(FinetuneError, match=reason):
        load_backbone(plain_backbone(), tmp_path / "other.npz")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.npz").write_text("not an archive")
    with pytest.raises(FinetuneError, match="cannot be read as NumPy's"):
        load_backbone(plain_backbone(), tmp_path / "notes.npz")
