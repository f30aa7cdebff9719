"""`vfnet_preprocess` and the network's normalisation against tensors recorded from mmdet."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared, reference_image
from vfnet_images.decoding import decode_image
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.resizing import resize_onto_canvas

pytestmark = needs_shared

IMAGES = (
    "china",
    "flower_640x480",
    "china_480x640",
    "flower_333x500",
    "china_gray_500x333",
    "china_strip_1000x60",
)


@pytest.fixture(scope="module")
def predictor() -> DensePredictor:
    return DensePredictor(VFNet(VFNetConfig(classes=("any",) * 80)))


@pytest.mark.parametrize("name", IMAGES)
def test_the_normalised_tensor_has_the_recorded_bits(name: str, predictor: DensePredictor) -> None:
    golden = json.loads((SHARED / "reference" / "golden" / "detections.json").read_text())[name]
    image = decode_image(reference_image(name).read_bytes(), max_image_pixels=10**8)
    resized = resize_onto_canvas(image, (1333, 800), 32)
    tensor = predictor.normalize(torch.from_numpy(resized.pixels), torch.from_numpy(resized.valid_shape)).numpy()
    assert list(tensor.shape) == golden["input_shape"]
    assert resized.valid_shape[0].tolist() == golden["img_shape"][:2]
    np.testing.assert_array_equal(resized.geometry[0, 2:], np.float32(golden["scale_factor"][:2]))
    assert hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest() == golden["input_sha256"]
