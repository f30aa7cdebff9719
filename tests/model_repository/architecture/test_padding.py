"""One image, one answer: on any canvas and in any company a network gives what it gives on the image's own canvas."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from small_networks import BACKBONES, small_network
from vfnet_runtime.architecture.detector import DensePredictor, Detector
from vfnet_runtime.architecture.padding import default_canvases, mask_padding
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = [(70, 100), (33, 128), (120, 50)]
"""Heights and widths of images, none a multiple of 32 in both."""
CANVASES = [(128, 128), (160, 224)]


@pytest.fixture(scope="module", params=BACKBONES)
def network(request: pytest.FixtureRequest) -> VFNet:
    return small_network(BACKBONES[request.param])


def photo(height: int, width: int) -> Tensor:
    """uint8 [1, height, width, 3], bright everywhere."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(40, 256, (1, height, width, 3), dtype=torch.uint8, generator=generator)


def on_canvas(image: Tensor, height: int, width: int) -> Tensor:
    canvas = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    canvas[:, : image.shape[1], : image.shape[2]] = image
    return canvas


def own_canvas(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 32) * 32, -(-size[1] // 32) * 32


def shapes(*sizes: tuple[int, int]) -> Tensor:
    return torch.tensor(sizes, dtype=torch.int32)


def masked(network: VFNet) -> DensePredictor:
    network = copy.deepcopy(network)
    return DensePredictor(network, mask_padding(network)).eval()


def assert_outputs_agree(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Equal within rounding where the image's own canvas is; logits of nothing elsewhere."""
    for here, there in zip(found, expected, strict=True):
        height, width = there.shape[-2:]
        inside = here[..., :height, :width]
        assert (inside - there).abs().max() <= 2e-5 * there.abs().max()
    for here, there in zip(found[:5], expected[:5], strict=True):
        outside = here.clone()
        outside[..., : there.shape[-2], : there.shape[-1]] = -torch.inf
        assert (outside == -torch.inf).all()


@torch.no_grad()
def test_every_canvas_gives_the_answer_of_the_images_own(network: VFNet) -> None:
    plain, any_canvas = DensePredictor(network).eval(), masked(network)
    for size in SIZES:
        image = photo(*size)
        expected = plain(on_canvas(image, *own_canvas(size)), shapes(size))
        for canvas in (own_canvas(size), *CANVASES):
            assert_outputs_agree(any_canvas(on_canvas(image, *canvas), shapes(size)), expected)


@torch.no_grad()
def test_without_masks_the_canvas_changes_the_answer(network: VFNet) -> None:
    plain, image = DensePredictor(network).eval(), photo(70, 100)
    own = plain(on_canvas(image, 96, 128), shapes((70, 100)))
    larger = plain(on_canvas(image, 192, 192), shapes((70, 100)))
    difference = (larger[0][..., :12, :16] - own[0]).abs().max()
    assert difference > 0.01 * own[0].abs().max()


@torch.no_grad()
def test_a_batch_of_mixed_sizes_equals_each_image_alone() -> None:
    network = small_network(BACKBONES["ResNet deformable"])
    alone = Detector(network).eval()
    network = copy.deepcopy(network)
    together = Detector(network, mask_padding(network)).eval()
    batch = torch.cat([on_canvas(photo(*size), 128, 160) for size in SIZES])
    boxes, scores, labels = together(batch, shapes(*SIZES))
    found = 0
    for position, size in enumerate(SIZES):
        own_boxes, own_scores, own_labels = alone(on_canvas(photo(*size), *own_canvas(size)), shapes(size))
        kept = int((own_scores > 0).sum())
        found += kept
        assert (scores[position] > 0).sum() == kept
        torch.testing.assert_close(scores[position], own_scores[0], rtol=0, atol=1e-5)
        assert (labels[position, :kept] == own_labels[0, :kept]).float().mean() > 0.99
        same = labels[position, :kept] == own_labels[0, :kept]
        torch.testing.assert_close(boxes[position, :kept][same], own_boxes[0, :kept][same], rtol=0, atol=2e-3)
    assert found > 20


def test_the_default_canvases_hold_every_image() -> None:
    assert default_canvases((1333, 800)) == "800x1088,1088x800,800x1216,1216x800,800x1344,1344x800"
    assert default_canvases((512, 512)) == "512x512"
