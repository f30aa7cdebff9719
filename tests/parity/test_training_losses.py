"""Losses and gradients against those recorded from MMDetection 2.28.2's `forward_train` and `backward`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.losses import VFNetLoss

GOLDEN = SHARED / "reference" / "golden" / "train_losses.npz"
RELATIVE_LOSS, RELATIVE_GRADIENT, ABSOLUTE_GRADIENT = 1e-5, 1e-3, 1e-6
# Below the head the synthetic weights make gradients jump: a sampling point that rounding moves over a pixel's edge
# has another slope. MMDetection itself, run again with these inputs, leaves its own recording by more than 1e-3 in
# 13 (two threads) or 39 (one thread) of the 211 norms, by up to 1.15e-2. Nobody can be asked for less.
MMDETS_OWN_SPREAD, MMDETS_OWN_OUTLIERS = 1.15e-2, 39

pytestmark = needs_shared


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def trained(reference_checkpoint: Path, golden: dict[str, np.ndarray]) -> tuple[VFNet, dict[str, torch.Tensor]]:
    """The network after one backward pass, and its losses; with two threads, whatever ran before has left."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return _after_one_backward_pass(reference_checkpoint, golden)
    finally:
        torch.set_num_threads(threads)


def _after_one_backward_pass(
    reference_checkpoint: Path, golden: dict[str, np.ndarray]
) -> tuple[VFNet, dict[str, torch.Tensor]]:
    network = build_network(load_checkpoint(reference_checkpoint)).eval()  # norm_eval
    outputs = network(torch.from_numpy(golden["img"]))
    boxes, labels = ([torch.from_numpy(golden[f"{kind}{i}"]) for i in range(2)] for kind in ("gt", "lb"))
    losses = VFNetLoss(network.config.head)(outputs, boxes, labels, [(256, 320), (256, 320)])
    torch.stack(list(losses.values())).sum().backward()
    return network, losses


@pytest.mark.parametrize("name", ["loss_cls", "loss_bbox", "loss_bbox_rf"])
def test_the_loss_is_mmdets(
    name: str, trained: tuple[VFNet, dict[str, torch.Tensor]], golden: dict[str, np.ndarray]
) -> None:
    assert trained[1][name].item() == pytest.approx(golden[f"loss/{name}"].item(), rel=RELATIVE_LOSS)


def test_gradient_norms_are_mmdets(
    trained: tuple[VFNet, dict[str, torch.Tensor]], golden: dict[str, np.ndarray]
) -> None:
    parameters = dict(trained[0].named_parameters())
    expected = {key.removeprefix("gradnorm/"): value.item() for key, value in golden.items() if "gradnorm/" in key}
    assert len(expected) == 211
    differences = {}
    for name, norm in expected.items():
        gradient = parameters[name].grad
        assert gradient is not None, name
        difference = abs(gradient.double().norm().item() - norm)
        if difference > ABSOLUTE_GRADIENT:
            differences[name] = difference / norm
    outliers = {name: value for name, value in differences.items() if value > RELATIVE_GRADIENT}
    assert not [name for name in outliers if not name.startswith("backbone.")]
    assert len(outliers) <= MMDETS_OWN_OUTLIERS, outliers
    assert max(differences.values()) <= MMDETS_OWN_SPREAD, outliers
