"""The network's raw outputs, in torch and in OpenVINO, against those recorded from mmdet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared, reference_image
from vfnet_images.decoding import decode_image
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas

pytestmark = needs_shared

GOLDENS = {"china": "china_levels_1to4.npz", "china_strip_1000x60": "golden_china_strip_1000x60.npz"}
LEVELS = 5


@pytest.fixture(params=GOLDENS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def resized(name: str) -> ResizedImage:
    return resize_onto_canvas(decode_image(reference_image(name).read_bytes(), 10**8), (1333, 800), 32)


def assert_equal_outputs(name: str, outputs: dict[str, np.ndarray]) -> None:
    golden = np.load(SHARED / "reference" / "golden" / GOLDENS[name])
    compared = 0
    for key, output in outputs.items():
        if key in golden:
            reference = golden[key]
            assert output.shape == reference.shape
            assert np.abs(output - reference).max() <= 1e-4 * np.abs(reference).max(), key
            compared += 1
    assert compared >= 9


def test_torch_network(name: str, reference_checkpoint: Path) -> None:
    predictor = DensePredictor(build_network(load_checkpoint(reference_checkpoint))).eval()
    image = resized(name)
    with torch.no_grad():
        normalised = predictor.normalize(torch.from_numpy(image.pixels), torch.from_numpy(image.valid_shape))
        outputs = predictor.network(normalised)
    names = ("cls_score", "bbox_pred", "bbox_pred_refine")
    assert_equal_outputs(
        name,
        {f"{key}_{level}": outputs[i][level].numpy() for i, key in enumerate(names) for level in range(LEVELS)},
    )


def test_openvino_network(name: str, reference_repository: Path) -> None:
    engine = OpenVINOEngine(reference_repository / "vfnet_detector" / "1" / "network.xml")
    image = resized(name)
    outputs = engine.compute(image.pixels, image.valid_shape)
    levels = range(LEVELS)
    assert_equal_outputs(
        name,
        {f"cls_score_{level}": outputs[level] for level in levels}
        | {f"bbox_pred_refine_{level}": outputs[LEVELS + level] for level in levels},
    )
