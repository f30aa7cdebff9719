"""The TorchScript file: the network it was made from, on any canvas, in any company, on any device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from small_networks import BACKBONES, small_network
from vfnet_build.engines.libtorch import export
from vfnet_runtime.architecture.deform_conv import register_torchvision_operator
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),  # Triton's libtorch backend knows nothing newer
]
SIZES = ((70, 100), (33, 128), (120, 50))


@pytest.fixture(scope="module")
def network() -> VFNet:
    return small_network(BACKBONES["ResNet deformable"])


@pytest.fixture(scope="module")
def folder(network: VFNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libtorch")
    export(network, folder)
    return folder


def batch(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.zeros(len(SIZES), height, width, 3, dtype=torch.uint8)
    for position, size in enumerate(SIZES):
        generator = torch.Generator().manual_seed(position)
        pixels[position, : size[0], : size[1]] = torch.randint(40, 256, (*size, 3), generator=generator)
    return pixels, torch.tensor(SIZES, dtype=torch.int32)


@pytest.mark.parametrize("canvas", [(128, 128), (160, 224)])
@torch.no_grad()
def test_a_batch_on_any_canvas_gives_each_images_own_answer(
    canvas: tuple[int, int], network: VFNet, folder: Path
) -> None:
    pixels, valid_shape = batch(*canvas)
    boxes, scores, labels = torch.jit.load(folder / "model.pt")(pixels, valid_shape)
    detector = Detector(network).eval()
    for position, (height, width) in enumerate(SIZES):
        own = pixels[position : position + 1, : -(-height // 32) * 32, : -(-width // 32) * 32]
        expected_boxes, expected_scores, expected_labels = detector(own, valid_shape[position : position + 1])
        count = int((expected_scores > 0).sum())
        assert count > 10
        torch.testing.assert_close(scores[position], expected_scores[0], rtol=0, atol=2e-5)
        same = labels[position, :count] == expected_labels[0, :count]
        assert same.float().mean() > 0.98
        torch.testing.assert_close(boxes[position, :count][same], expected_boxes[0, :count][same], rtol=0, atol=5e-3)


def test_no_device_is_written_down(folder: Path) -> None:
    graph = torch.jit.load(folder / "model.pt").inlined_graph
    operators = [node.schema().split("(")[0] for node in graph.findAllNodes("torchvision::deform_conv2d", True)]
    assert len(operators) == 33
    for node in graph.findAllNodes("prim::Constant", True):
        assert node.output().type().kind() != "DeviceObjType"
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            assert node.t("value").ndim == 0  # it would stay where it is when the module moves


@torch.no_grad()
def test_it_runs_on_another_device_than_it_was_made_on(folder: Path) -> None:
    module = torch.jit.load(folder / "model.pt")
    for part in module.modules():  # `to` does not know this device for a script
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            part._c.setattr(name, tensor.to("meta"))
    boxes, scores, labels = module(*(tensor.to("meta") for tensor in batch(128, 128)))
    assert {boxes.device.type, scores.device.type, labels.device.type} == {"meta"}
    assert boxes.shape == (3, 500, 4)


@torch.no_grad()
def test_half_precision_is_near(network: VFNet, folder: Path, tmp_path: Path) -> None:
    export(network, tmp_path, "fp16")
    exact, near = (torch.jit.load(each / "model.pt")(*batch(128, 128)) for each in (folder, tmp_path))
    assert near[0].dtype == near[1].dtype == torch.float32
    assert 0 < (near[1] - exact[1]).abs().max() < 0.02


def test_without_the_operator_the_file_is_refused(folder: Path) -> None:
    program = f"import torch; torch.jit.load({str(folder / 'model.pt')!r})"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode != 0
    assert "torchvision::deform_conv2d" in finished.stderr


def test_the_operator_wants_a_mask_of_every_image_even_where_it_uses_none() -> None:
    # torchvision's own does.
    register_torchvision_operator()
    x, weight, offset = torch.zeros(2, 1, 3, 3), torch.zeros(1, 1, 3, 3), torch.zeros(2, 18, 1, 1)
    with pytest.raises(ValueError, match="a mask for 1 images with 2 images"):
        torch.ops.torchvision.deform_conv2d(
            x, weight, offset, torch.zeros(1), torch.zeros(1), 1, 1, 0, 0, 1, 1, 1, 1, False
        )
