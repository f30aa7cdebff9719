"""The AOTInductor package: the network it was made from, on any canvas, in any company.

Compiling takes minutes even for a small network: VFNET_COMPILE_AOTI=1 has it done.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from small_networks import BACKBONES, small_network
from vfnet_build.engines.torch_aoti import export
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif("VFNET_COMPILE_AOTI" not in os.environ, reason="takes minutes: VFNET_COMPILE_AOTI=1"),
]
SIZES = ((170, 200), (133, 228), (220, 150))


@pytest.fixture(scope="module")
def network() -> VFNet:
    return small_network(BACKBONES["ResNet deformable"])


@pytest.fixture(scope="module")
def package(network: VFNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch_aoti")
    export(network, folder)
    return folder / "model.pt2"


@pytest.mark.parametrize("canvas", [(224, 256), (256, 224), (320, 480)])
@torch.no_grad()
def test_a_batch_on_any_canvas_gives_each_images_own_answer(
    canvas: tuple[int, int], network: VFNet, package: Path
) -> None:
    pixels = torch.zeros(len(SIZES), *canvas, 3, dtype=torch.uint8)
    fitting = [position for position, size in enumerate(SIZES) if size[0] <= canvas[0] and size[1] <= canvas[1]]
    for position in fitting:
        size, generator = SIZES[position], torch.Generator().manual_seed(position)
        pixels[position, : size[0], : size[1]] = torch.randint(40, 256, (*size, 3), generator=generator)
    valid_shape = torch.tensor(SIZES, dtype=torch.int32)
    run, detector = torch._inductor.aoti_load_package(str(package)), Detector(network).eval()
    for chosen in (fitting[:1], fitting):
        boxes, scores, labels = run(pixels[chosen], valid_shape[chosen])
        for row, position in enumerate(chosen):
            height, width = SIZES[position]
            own = pixels[position : position + 1, : -(-height // 32) * 32, : -(-width // 32) * 32]
            expected_boxes, expected_scores, expected_labels = detector(own, valid_shape[position : position + 1])
            count = int((expected_scores > 0).sum())
            assert count > 10
            torch.testing.assert_close(scores[row], expected_scores[0], rtol=0, atol=2e-5)
            same = labels[row, :count] == expected_labels[0, :count]
            assert same.float().mean() > 0.98
            torch.testing.assert_close(boxes[row, :count][same], expected_boxes[0, :count][same], rtol=0, atol=5e-3)
