"""The OpenVINO engine by itself: precision, streams, several images under way."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from vfnet_runtime.engines.openvino_engine import HeadOutputs, OpenVINOEngine, is_strip, openvino_core


@pytest.fixture
def network(demo_repository: Path) -> Path:
    return demo_repository / "vfnet_detector" / "1" / "network.xml"


def submit(engine: OpenVINOEngine, pixels: np.ndarray, together: bool = False) -> Future[HeadOutputs]:
    future: Future[HeadOutputs] = Future()

    def done(outputs: HeadOutputs | None, error: Exception | None) -> None:
        if outputs is None:
            future.set_exception(error or RuntimeError())
        else:
            future.set_result([output.copy() for output in outputs])

    start = engine.submit_together if together else engine.submit
    start(pixels, np.array([pixels.shape[1:3]], np.int32), done)
    return future


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_it_computes_in_the_precision_asked_for(precision: str, network: Path) -> None:
    engine = OpenVINOEngine(network, precision)
    used = engine.network.compiled_model.get_property("INFERENCE_PRECISION_HINT").to_string()
    engine.close()
    has_bf16 = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
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


def test_the_network_for_many_images_gives_the_bits_of_the_one_for_few(network: Path) -> None:
    engine = OpenVINOEngine(network, inference_num_threads=2, throughput_streams=0)
    generator = np.random.default_rng(0)
    sizes = [(288, 416), (416, 320), (256, 384), (384, 224), (320, 320)]
    assert not any(is_strip((1, *size, 3)) for size in sizes)
    images = [generator.integers(0, 255, (1, *size, 3), np.uint8) for size in sizes]
    alone = [submit(engine, image).result(timeout=60) for image in images]
    together = [future.result(timeout=60) for future in [submit(engine, image, together=True) for image in images]]
    engine.close()
    for one, other in zip(alone, together, strict=True):
        for expected, found in zip(one, other, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_whole_groups_are_computed_together_and_what_is_left_alone(network: Path) -> None:
    engine = OpenVINOEngine(network, inference_num_threads=2, throughput_streams=0)
    assert [engine.count_together(images) for images in range(6)] == [0, 0, 2, 2, 4, 4]
    engine.close()
    for streams in (None, 1):
        few = OpenVINOEngine(network, inference_num_threads=2, throughput_streams=streams)
        assert few.throughput_network is None
        assert few.count_together(8) == 0
        assert submit(few, np.zeros((1, 64, 64, 3), np.uint8), together=True).result(timeout=60)
        few.close()


def test_strips_are_told_from_photos() -> None:
    assert not any(is_strip((1, height, width, 3)) for height, width in ((800, 1344), (320, 1280), (1280, 320)))
    assert all(is_strip((1, height, width, 3)) for height, width in ((320, 1312), (32, 1344), (1344, 32)))


def test_an_image_that_cannot_be_computed_does_not_take_a_slot_away(network: Path) -> None:
    engine = OpenVINOEngine(network)
    wrong = np.zeros((1, 64, 64, 4), np.uint8)  # four channels
    for _ in range(engine.network.slots + 1):
        with pytest.raises(Exception, match=r"(?i)shape|channel|dimension"):
            submit(engine, wrong).result(timeout=60)
    right = np.zeros((1, 64, 64, 3), np.uint8)
    assert submit(engine, right).result(timeout=60)
    engine.close()


ENGINES_THAT_END_IN_ORDER = """
import gc, pathlib, signal, sys
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine

engines = [OpenVINOEngine(pathlib.Path(sys.argv[1])) for _ in range(2)]
while engines:
    engines.pop(0).close()
    gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""


def test_signals_are_still_handled_after_engines_have_ended(network: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENGINES_THAT_END_IN_ORDER, str(network)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_a_network_that_is_compiled_anew_leaves_nothing_of_the_old_one_in_memory(network: Path) -> None:
    def resident_pages() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1])

    engine = OpenVINOEngine(network)
    image = np.zeros((1, 64, 64, 3), np.uint8)
    engine.renew()
    submit(engine, image).result(timeout=60)
    before = resident_pages()
    for _ in range(3):
        engine.renew()
        submit(engine, image).result(timeout=60)
    grown = (resident_pages() - before) * os.sysconf("SC_PAGE_SIZE")
    engine.close()
    assert grown < network.with_suffix(".bin").stat().st_size


def test_a_second_start_finds_the_compiled_network(network: Path, tmp_path: Path) -> None:
    for suffix in (".xml", ".bin"):  # without the library: a network with operations of ours cannot be kept
        shutil.copy(network.with_suffix(suffix), tmp_path)
    for _ in range(2):
        OpenVINOEngine(tmp_path / network.name, cache_dir=tmp_path / "cache").close()
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1
