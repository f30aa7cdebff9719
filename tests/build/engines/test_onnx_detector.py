"""The ONNX file, run by ONNX Runtime: the network it was made from, on any canvas and in any company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from small_networks import BACKBONES, small_network
from vfnet_build.engines.onnx import INPUTS, OUTPUTS, export_detector
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.vfnet import VFNet

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SIZES = ((70, 100), (33, 128), (120, 50))


@pytest.fixture(scope="module")
def network() -> VFNet:
    return small_network(BACKBONES["ResNet deformable"])


@pytest.fixture(scope="module")
def onnx_file(network: VFNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export_detector(network, path)
    return path


def run(path: Path, pixels: np.ndarray, valid_shape: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, dict(zip(INPUTS, (pixels, valid_shape), strict=True)))
    return outputs


def batch(canvas: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.zeros((len(SIZES), *canvas, 3), np.uint8)
    for position, (height, width) in enumerate(SIZES):
        random = np.random.RandomState(position)
        pixels[position, :height, :width] = random.randint(40, 256, (height, width, 3))
    return pixels, np.array(SIZES, np.int32)


def by_score(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order], labels[order]


@pytest.mark.parametrize("canvas", [(128, 128), (160, 224)])
def test_a_batch_on_any_canvas_gives_each_images_own_answer(
    canvas: tuple[int, int], network: VFNet, onnx_file: Path
) -> None:
    pixels, valid_shape = batch(canvas)
    boxes, scores, labels = run(onnx_file, pixels, valid_shape)
    detector = Detector(network).eval()
    for position, (height, width) in enumerate(SIZES):
        own = pixels[position : position + 1, : -(-height // 32) * 32, : -(-width // 32) * 32]
        with torch.no_grad():
            alone = detector(torch.from_numpy(own), torch.from_numpy(valid_shape[position : position + 1]))
        expected_boxes, expected_scores, expected_labels = (tensor[0].numpy() for tensor in alone)
        found_boxes, found_scores, found_labels = by_score(boxes[position], scores[position], labels[position])
        count = int((expected_scores > 0).sum())
        assert count > 10
        np.testing.assert_allclose(found_scores, expected_scores, rtol=0, atol=2e-5)
        same = found_labels[:count] == expected_labels[:count]
        assert same.mean() > 0.98
        np.testing.assert_allclose(found_boxes[:count][same], expected_boxes[:count][same], rtol=0, atol=5e-3)


def test_it_names_deformable_convolutions_and_its_inputs_and_outputs(onnx_file: Path) -> None:
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model)
    assert sum(node.op_type == "DeformConv" for node in model.graph.node) == 33
    assert tuple(value.name for value in model.graph.input) == INPUTS
    assert tuple(value.name for value in model.graph.output) == OUTPUTS
    (opset,) = (each.version for each in model.opset_import if not each.domain)
    assert opset >= 19
    # TensorRT's limit.
    constants = {name.name: onnx.numpy_helper.to_array(name) for name in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "TopK" and node.input[1] in constants:
            assert constants[node.input[1]].max() <= 3840


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_pixels_are_cast_before_anything_else(precision: str, network: VFNet, onnx_file: Path, tmp_path: Path) -> None:
    path = onnx_file
    if precision != "f32":
        path = tmp_path / "half.onnx"
        export_detector(network, path, precision)
    consumers = {node.op_type for node in onnx.load(path).graph.node if "PIXELS" in node.input}
    assert consumers == {"Cast"}  # TensorRT takes bytes nowhere else


def test_in_half_precision_what_samples_stays_float32(network: VFNet, onnx_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    export_detector(network, path, "fp16")
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    types |= {each.name: each.data_type for each in model.graph.initializer}
    deformable = {types[name] for node in model.graph.node if node.op_type == "DeformConv" for name in node.input[:3]}
    assert deformable == {onnx.TensorProto.FLOAT}
    others = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    assert others.count(onnx.TensorProto.FLOAT16) > len(others) / 2
    pixels, valid_shape = batch((128, 128))
    exact, near = (run(each, pixels, valid_shape) for each in (onnx_file, path))
    assert [output.dtype for output in near] == [np.float32, np.float32, np.int32]
    assert 0 < np.abs(np.sort(near[1]) - np.sort(exact[1])).max() < 0.02
