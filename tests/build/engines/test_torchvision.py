"""The TorchScript file with torchvision's real operator, which no environment of ours has: PyPI's needs CUDA's torch.

VFNET_TORCHVISION names the Python of an environment of its own: `pip install torch==2.14.1 torchvision==0.29.1` (6 GB).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from small_networks import BACKBONES, small_network
from vfnet_build.engines.libtorch import export

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.skipif("VFNET_TORCHVISION" not in os.environ, reason="VFNET_TORCHVISION names no Python"),
]
SIZES = ((70, 100), (33, 128), (120, 50), (128, 128), (64, 64), (90, 31), (100, 100), (32, 70))
PROGRAM = """
import sys, torch, torchvision
assert torchvision.extension._has_ops()
inputs, out = torch.load(sys.argv[2]), []
network = torch.jit.load(sys.argv[1])
with torch.inference_mode():
    for size in (1, 2, 8):
        out.append(network(inputs[0][:size], inputs[1][:size]))
    alone = [network(inputs[0][n:n + 1], inputs[1][n:n + 1]) for n in range(8)]
torch.save((out, alone), sys.argv[3])
"""


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_batches_give_each_images_own_answer(precision: str, tmp_path: Path) -> None:
    export(small_network(BACKBONES["ResNet deformable"]), tmp_path, precision)
    pixels = torch.zeros(len(SIZES), 128, 128, 3, dtype=torch.uint8)
    for position, size in enumerate(SIZES):
        generator = torch.Generator().manual_seed(position)
        pixels[position, : size[0], : size[1]] = torch.randint(40, 256, (*size, 3), generator=generator)
    torch.save((pixels, torch.tensor(SIZES, dtype=torch.int32)), tmp_path / "in.pt")
    files = [str(tmp_path / name) for name in ("model.pt", "in.pt", "out.pt")]
    command = [os.environ["VFNET_TORCHVISION"], "-c", PROGRAM, *files]
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert finished.returncode == 0, finished.stderr
    batches, alone = torch.load(tmp_path / "out.pt")
    tolerance = 2e-5 if precision == "f32" else 2e-3
    for boxes, scores, _ in batches:
        for position in range(len(boxes)):
            own_boxes, own_scores, _ = alone[position]
            assert (own_scores > 0).sum() > 10
            torch.testing.assert_close(scores[position], own_scores[0], rtol=0, atol=tolerance)
            first = own_scores[0] > own_scores[0].max() * 0.9
            torch.testing.assert_close(boxes[position][first], own_boxes[0][first], rtol=0, atol=100 * tolerance)
