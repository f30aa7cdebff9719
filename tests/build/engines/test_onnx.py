"""The ONNX file computes what the torch network does, for any size and batch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from tiny_training import tiny_config
from vfnet_build.engines.onnx import export
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network() -> VFNet:
    """Both kinds of deformable convolution; random weights."""
    torch.manual_seed(0)
    return VFNet(tiny_config()).eval()


@pytest.fixture(scope="module")
def session(network: VFNet, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    folder = tmp_path_factory.mktemp("onnx")
    export(network, folder / "network.onnx")
    assert [path.name for path in folder.iterdir()] == ["network.onnx"]
    return onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("shape", [(1, 96, 160), (1, 160, 64), (2, 64, 64)])
def test_it_computes_what_torch_does(
    shape: tuple[int, int, int], network: VFNet, session: onnxruntime.InferenceSession
) -> None:
    number, height, width = shape
    pixels = np.random.default_rng(0).integers(0, 255, (number, height, width, 3), np.uint8)
    valid = np.array([[height - 7 * each, width - 9] for each in range(number)], np.int32)
    found = session.run(None, {"pixels": pixels, "valid_shape": valid})
    with torch.inference_mode():
        expected = DensePredictor(network).eval()(torch.from_numpy(pixels), torch.from_numpy(valid))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == tuple(theirs.shape)
        assert np.abs(ours - theirs.numpy()).max() <= 2e-5 * np.abs(theirs.numpy()).max()


def test_outputs_are_named_level_by_level(session: onnxruntime.InferenceSession) -> None:
    names = [output.name for output in session.get_outputs()]
    assert names == [*(f"cls_score_{level}" for level in range(5)), *(f"bbox_pred_{level}" for level in range(5))]
