"""The OpenVINO engine by itself: precision, streams, several images under way."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino_engine import HeadOutputs, OpenVINOEngine


@pytest.fixture
def network(demo_repository: Path) -> Path:
    return demo_repository / "vfnet_detector" / "1" / "network.xml"


def submit(engine: OpenVINOEngine, pixels: np.ndarray) -> Future[HeadOutputs]:
    future: Future[HeadOutputs] = Future()

    def done(outputs: HeadOutputs | None, error: Exception | None) -> None:
        if outputs is None:
            future.set_exception(error or RuntimeError())
        else:
            future.set_result([output.copy() for output in outputs])

    engine.submit(pixels, np.array([pixels.shape[1:3]], np.int32), done)
    return future


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_it_computes_in_the_precision_asked_for(precision: str, network: Path) -> None:
    engine = OpenVINOEngine(network, precision)
    used = engine.compiled_model.get_property("INFERENCE_PRECISION_HINT").to_string()
    engine.close()
    has_bf16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert used == (precision if has_bf16 else "f32")


def test_images_computed_side_by_side_come_out_as_each_alone(network: Path) -> None:
    engine = OpenVINOEngine(network, num_streams=2)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, (1, 64 * size, 96, 3), np.uint8) for size in (1, 2, 3, 1, 2, 3)]
    alone = [submit(engine, image).result(timeout=60) for image in images]
    together = [future.result(timeout=60) for future in [submit(engine, image) for image in images]]
    engine.close()
    for one, other in zip(alone, together, strict=True):
        for expected, found in zip(one, other, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_an_image_that_cannot_be_computed_does_not_take_a_slot_away(network: Path) -> None:
    engine = OpenVINOEngine(network)
    wrong = np.zeros((1, 64, 64, 4), np.uint8)  # four channels
    for _ in range(engine.slots + 1):
        with pytest.raises(Exception, match=r"(?i)shape|channel|dimension"):
            submit(engine, wrong).result(timeout=60)
    right = np.zeros((1, 64, 64, 3), np.uint8)
    assert submit(engine, right).result(timeout=60)
    engine.close()


def test_a_second_start_finds_the_compiled_network(network: Path, tmp_path: Path) -> None:
    for _ in range(2):
        OpenVINOEngine(network, cache_dir=tmp_path / "cache").close()
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1
