"""What is made for GPUs, run on the CPU on a larger canvas than the image needs, against detections of mmdet's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from box_matching import DetectionSet, compare
from parity_table import ParityTable
from shared_data import SHARED, needs_shared, reference_image
from vfnet_build.engines.onnx import INPUTS, export_detector
from vfnet_images.decoding import decode_image
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.answers import detect
from vfnet_runtime.architecture.network_file import write_network
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_runtime.engines.torch_engine import Image, TorchEngine
from vfnet_runtime.resizing import ResizedImage, resize_onto_canvas
from vfnet_runtime.suppression import Suppression

pytestmark = needs_shared
NAME, CANVAS = "china_480x640", (1344, 800)


@pytest.fixture(scope="module")
def network(reference_checkpoint: Path) -> VFNet:
    return build_network(load_checkpoint(reference_checkpoint))


@pytest.fixture(scope="module")
def image() -> ResizedImage:
    """On its own canvas."""
    return resize_onto_canvas(decode_image(reference_image(NAME).read_bytes(), 10**8), (1333, 800), 32)


def assert_recorded(candidates: Any, image: ResizedImage, table: ParityTable, engine: str) -> None:
    boxes, scores, labels = (output[0] for output in candidates)
    found = detect(boxes, scores, labels, image.geometry[0, 2:], Suppression(0.6, 100))
    record = json.loads((SHARED / "reference" / "golden" / "detections.json").read_text())[NAME]
    expected = DetectionSet(*(np.array(record[key]) for key in ("boxes", "scores", "labels")))
    comparison = compare(expected, DetectionSet(found.boxes, found.scores, found.labels))
    table.add(f"{NAME} (recorded, {engine})", comparison)
    assert not comparison.wrong
    assert len(comparison.flipped) <= 0.02 * comparison.expected


def test_the_onnx_file_gives_the_recorded_boxes(
    network: VFNet, image: ResizedImage, tmp_path: Path, parity_table: ParityTable
) -> None:
    export_detector(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    assert image.pixels.shape[1] < CANVAS[0]
    pixels = np.zeros((1, *CANVAS, 3), np.uint8)
    pixels[:, : image.pixels.shape[1], : image.pixels.shape[2]] = image.pixels
    outputs = session.run(None, dict(zip(INPUTS, (pixels, image.valid_shape), strict=True)))
    assert_recorded(outputs, image, parity_table, "ONNX")


def test_the_torch_engine_gives_the_recorded_boxes(
    network: VFNet, image: ResizedImage, tmp_path: Path, parity_table: ParityTable
) -> None:
    write_network(network, tmp_path / "network.pt")
    engine = TorchEngine(tmp_path / "network.pt", canvases="{}x{}".format(*CANVAS))
    ((_, candidates),) = engine.detect([Image(image.pixels, image.valid_shape)])
    assert_recorded(candidates, image, parity_table, "torch")
