"""The PyTorch engine by itself, on the CPU: it is the network it was made from, whatever travels together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from small_networks import BACKBONES, small_network
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.network_file import read_network, write_network
from vfnet_runtime.engines import torch_engine
from vfnet_runtime.engines.torch_engine import Candidates, Image, TorchEngine

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = ((70, 100), (33, 128), (120, 50), (64, 64))


@pytest.fixture(autouse=True)
def _one_thread_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "available_cores", lambda: 1)


@pytest.fixture(scope="module", params=BACKBONES)
def network_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.pt"
    write_network(small_network(BACKBONES[request.param]), path)
    return path


@pytest.fixture(scope="module")
def deformable_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.pt"
    write_network(small_network(BACKBONES["ResNet deformable"]), path)
    return path


def image(height: int, width: int) -> Image:
    """On its own canvas; with noise beyond the image, where an engine must not look."""
    random = np.random.RandomState(height * 1000 + width)
    pixels = random.randint(40, 256, (1, -(-height // 32) * 32, -(-width // 32) * 32, 3)).astype(np.uint8)
    return Image(pixels, np.array([[height, width]], np.int32))


def detect(engine: TorchEngine, images: list[Image]) -> list[Candidates]:
    found: dict[int, Candidates] = {}
    for position, outcome in engine.detect(images):
        assert not isinstance(outcome, Exception), outcome
        assert position not in found
        found[position] = outcome
    return [found[position] for position in range(len(images))]


def assert_same(found: Candidates, expected: Candidates) -> None:
    count = int((expected[1] > 0).sum())
    assert count > 0
    assert found[1].shape == expected[1].shape
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=2e-5)
    same = found[2][0, :count] == expected[2][0, :count]
    assert same.mean() > 0.98  # equal scores may change places
    np.testing.assert_allclose(found[0][0, :count][same], expected[0][0, :count][same], rtol=0, atol=5e-3)


def test_a_network_file_holds_settings_and_weights(network_file: Path) -> None:
    network = read_network(network_file)
    assert network.config in [small_network(backbone).config for backbone in BACKBONES.values()]
    assert not network.training


def test_it_answers_as_the_network_it_was_made_from(network_file: Path) -> None:
    detector = Detector(read_network(network_file)).eval()
    engine = TorchEngine(network_file)
    for size in SIZES[:2]:
        one = image(*size)
        with torch.inference_mode():
            tensors = detector(torch.from_numpy(one.pixels), torch.from_numpy(one.valid_shape))
        boxes, scores, labels = (tensor.numpy() for tensor in tensors)
        assert_same(detect(engine, [one])[0], (boxes, scores, labels))


def test_company_and_canvas_change_nothing(deformable_file: Path) -> None:
    alone = TorchEngine(deformable_file)
    together = TorchEngine(deformable_file, canvases="128x128,160x192", batch_sizes=(1, 2, 4))
    images = [image(*size) for size in SIZES]
    for found, one in zip(detect(together, images), images, strict=True):
        assert_same(found, detect(alone, [one])[0])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(precision: str, deformable_file: Path) -> None:
    one = [image(70, 100)]
    exact = detect(TorchEngine(deformable_file), one)[0]
    near = detect(TorchEngine(deformable_file, precision=precision), one)[0]
    assert near[0].dtype == near[1].dtype == np.float32
    assert 0 < np.abs(near[1] - exact[1]).max() < 0.05


def test_a_failure_is_that_batchs_alone(deformable_file: Path) -> None:
    engine = TorchEngine(deformable_file)
    bad = Image(np.zeros((1, 32, 32, 3), np.uint8), np.zeros((0, 2), np.int32))
    outcomes = dict(engine.detect([image(64, 64), bad, image(64, 64)]))
    assert isinstance(outcomes[1], Exception)
    assert not isinstance(outcomes[0], Exception)
    assert not isinstance(outcomes[2], Exception)
