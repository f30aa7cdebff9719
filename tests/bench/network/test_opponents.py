"""Opponents that need no other environment; that MMDetection and MLflow run is shown by `vfnet bench` itself."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from browser_page import SAMPLE
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.measurement import Measurement
from vfnet_bench.network.agreement import Agreement, compare_detections
from vfnet_bench.network.opponents import NAMES
from vfnet_bench.network.opponents.choosing import CHECKS, OPPONENTS
from vfnet_bench.network.opponents.opponent import Conditions
from vfnet_bench.network.report import Report
from vfnet_bench.plot import draw
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector


@pytest.fixture
def conditions(demo_checkpoint: Path, tmp_path: Path) -> Conditions:
    image = tmp_path / "strip.png"
    with Image.open(SAMPLE) as sample:
        sample.convert("RGB").crop((0, 200, 720, 252)).save(image)
    return Conditions(demo_checkpoint, image, threads=2, concurrency=2, mmdet_python=None, scratch=tmp_path)


def test_both_engines_detect_what_the_checkpoint_does(conditions: Conditions) -> None:
    with OPPONENTS["torch"](conditions) as torch, OPPONENTS["onnxruntime"](conditions) as onnxruntime:
        in_torch, in_onnx = torch.detect(conditions.image), onnxruntime.detect(conditions.image)
        assert 0 < torch.measure() < 60
        assert 0 < onnxruntime.measure() < 60
        assert torch.name.startswith("eager torch 2.")
    here = CheckpointDetector(conditions.checkpoint).detect(conditions.image)
    assert len(in_torch) == len(here.scores)
    assert sorted(box.score for box in in_torch) == pytest.approx(sorted(here.scores.tolist()), abs=1e-5)
    assert compare_detections("ONNX Runtime", [in_torch], [in_onnx]).is_complete


def test_all_that_can_be_named_are_there() -> None:
    assert tuple(OPPONENTS) == NAMES


@pytest.mark.parametrize("name", ["mmdet", "mlflow"])
def test_what_needs_mmdetection_says_how_to_get_it(name: str) -> None:
    with pytest.raises(BenchmarkError, match="make parity"):
        CHECKS[name](None)


def test_an_environment_without_mlflow_is_told_how_to_get_it() -> None:
    with pytest.raises(BenchmarkError, match=r"has no mlflow.*pip install mlflow-skinny"):
        CHECKS["mlflow"](Path(sys.executable))


def test_the_plot_is_a_picture_of_all_contestants() -> None:
    measurements = [
        Measurement("bare network, one at a time", "s", (1.0, 1.1, 1.2)),
        Measurement("served, one at a time", "s", (1.1, 1.2, 1.3)),
        Measurement("served, 8 in flight", "images/s", (0.9,)),
        Measurement("server ready, first start", "s", (7.0,)),
    ]
    setting = {
        "checkpoint": {"description": "VFNet"},
        "image": {"name": "photo.jpg", "network_input": [800, 1216]},
        "precision": "f32",
        "rounds": 3,
        "machine": {"cpu": "A Processor", "cores_usable": 2, "memory_bytes": 8 * 2**30},
        "versions": {"openvino": "2026.4.1", "triton": "2.51.0", "MMDetection 2.28.2": {"mmcv": "1.7.2"}},
    }
    agreement = Agreement("MMDetection", 1, 3, 3, 3, 0.0, 0.0)
    with Image.open(io.BytesIO(draw(Report(measurements, setting, [agreement])))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
