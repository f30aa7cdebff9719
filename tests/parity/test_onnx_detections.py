"""The ONNX file that TensorRT reads, run by ONNX Runtime on a larger canvas, against detections recorded from mmdet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from detections import detect
from image_decoding import decode_image
from resizing import resize_onto_canvas

from box_matching import DetectionSet, compare
from parity_table import ParityTable
from shared_data import SHARED, needs_shared, reference_image
from vfnet_build.checkpoints.loading import build_network, load_checkpoint
from vfnet_build.engines.onnx import INPUTS, export_detector

pytestmark = needs_shared
NAME, CANVAS = "china_480x640", (1344, 800)


def test_the_onnx_file_gives_the_recorded_boxes(
    reference_checkpoint: Path, tmp_path: Path, parity_table: ParityTable
) -> None:
    export_detector(build_network(load_checkpoint(reference_checkpoint)), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    image = resize_onto_canvas(decode_image(reference_image(NAME).read_bytes(), 10**8), (1333, 800), 32)
    assert image.pixels.shape[1] < CANVAS[0]
    pixels = np.zeros((1, *CANVAS, 3), np.uint8)
    pixels[:, : image.pixels.shape[1], : image.pixels.shape[2]] = image.pixels
    outputs = session.run(None, dict(zip(INPUTS, (pixels, image.valid_shape), strict=True)))
    boxes, scores, labels = (output[0] for output in outputs)
    found = detect(boxes, scores, labels, image.geometry[0, 2:], 0.6, 100)
    record = json.loads((SHARED / "reference" / "golden" / "detections.json").read_text())[NAME]
    expected = DetectionSet(*(np.array(record[key]) for key in ("boxes", "scores", "labels")))
    comparison = compare(expected, DetectionSet(found.boxes, found.scores, found.labels))
    parity_table.add(f"{NAME} (recorded, ONNX)", comparison)
    assert not comparison.wrong
    assert len(comparison.flipped) <= 0.02 * comparison.expected
