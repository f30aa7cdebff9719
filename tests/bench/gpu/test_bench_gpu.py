"""`vfnet bench gpu`, rehearsed on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfnet_bench.commands.gpu import with_index
from vfnet_bench.gpu.accuracy import candidate_differences
from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_bench.gpu.hot_spots import shortened
from vfnet_bench.gpu.pictures import picture_arrays
from vfnet_bench.gpu.processor_use import mean_of_lines
from vfnet_bench.gpu.report import to_markdown
from vfnet_bench.gpu.speed import EAGER_F32, fractions_of_floor, gains
from vfnet_bench.gpu.talkative import make_talkative
from vfnet_runtime.architecture.detector import Detector


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfnet_client", "bench", "gpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    finished = bench()
    assert finished.returncode == 1
    assert "no GPU here; --rehearse" in finished.stderr


@pytest.mark.slow
def test_the_rehearsal_measures_and_writes(tmp_path: Path) -> None:
    figures, page = tmp_path / "gpu.json", tmp_path / "gpu.md"
    sections = ("ceilings", "speed", "floor", "gains", "kernels", "company", "start-up", "tuning")
    finished = bench("--rehearse", f"--json={figures}", f"--markdown={page}", "--only", *sections)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(figures.read_text())
    contestants = ("engine fp16", "engine bf16", "engine f32", "eager f32, TF32 off", "eager fp16")
    assert tuple(found["Milliseconds an image"]) == contestants
    assert all(times.keys() == {"1", "2"} for times in found["Milliseconds an image"].values())
    assert found["Times eager f32, TF32 off"].keys() >= {"fp16, batch 1", "f32, batch 2"}
    company = found["In company against alone"]["f32"]
    assert company["candidates"] > 100
    assert company["largest score difference"] < 1e-4
    kernels = found["Where the time goes, in ms an image, fp16"]
    assert kernels.pop("all others") >= 0
    assert list(kernels.values()) == sorted(kernels.values(), reverse=True)
    assert any("conv" in kernel for kernel in kernels)
    assert found["Start-up and memory"]["warm"]["load seconds"] > 0
    tuning = found["Tuning"]
    assert tuning["outputs of conv_offset"].keys() == {"27", "32", "32, float32"}
    assert tuning["engine, cudnn.benchmark"]["kernels of one image"] > 100
    assert {why for values in tuning.values() if (why := values.get("failed"))} == {"needs a GPU"}
    assert "| engine fp16 " in page.read_text()
    assert "| engine fp16 " in finished.stdout
    assert "vfnet bench gpu --rehearse" in page.read_text()


@pytest.fixture(scope="module")
def served_rehearsal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of both sections that start servers."""
    figures = tmp_path_factory.mktemp("served") / "gpu.json"
    finished = bench("--rehearse", f"--json={figures}", "--only", "served", "two-instances")
    assert finished.returncode == 0, finished.stderr
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


@pytest.mark.served
def test_the_served_rehearsal_measures_a_network_that_finds_something(served_rehearsal: dict[str, Any]) -> None:
    served = served_rehearsal["Served"]
    assert served["2 in flight"]["boxes an image"] > 10
    # On a busy machine a second may pass without an answer: how many there are is not asked.
    assert served["bare engine, images/s"] > 0
    assert served.keys() >= {"served / bare engine", "mixed, images/s", "mixed / what the sizes alone make of it"}


@pytest.mark.served
def test_two_instances_are_rehearsed(served_rehearsal: dict[str, Any]) -> None:
    assert served_rehearsal["Served by two instances"]["2 in flight"]["boxes an image"] > 10


@pytest.mark.slow
def test_a_section_that_fails_leaves_the_others_and_says_why(tmp_path: Path) -> None:
    figures = tmp_path / "gpu.json"
    finished = bench("--rehearse", f"--json={figures}", "--only", "ceilings", "half")
    assert finished.returncode == 1
    assert "Half precision: failed: ValueError: needs --annotations and --images" in finished.stderr
    assert json.loads(figures.read_text())["Ceilings"]["copy GB/s"] > 0


def test_the_share_of_the_floor_is_time_at_the_peak_over_time_taken() -> None:
    speed = {f"engine {precision}": {"8": 3.0} for precision in ("fp16", "bf16", "f32")}
    peak = {f"matmul {precision} TFLOP/s": 470.0 for precision in ("fp16", "bf16", "f32")}
    assert fractions_of_floor(speed, peak)["fp16, batch 8"] == pytest.approx(1 / 3)  # 470 GFLOP in 1 ms


def test_a_contestant_that_failed_has_no_share_and_leaves_the_others_theirs() -> None:
    speed = {"engine fp16": {"8": 3.0}, "engine bf16": {"failed": "no memory"}, "engine f32": {"8": 6.0}}
    peak = {f"matmul {precision} TFLOP/s": 470.0 for precision in ("fp16", "bf16", "f32")}
    assert list(fractions_of_floor(speed, peak)) == ["fp16, batch 8", "f32, batch 8"]


def test_gains_are_over_plain_float32_at_the_same_batch() -> None:
    speed = {f"engine {precision}": {"1": 4.0, "8": 3.0} for precision in ("fp16", "bf16")}
    speed |= {"engine f32": {"failed": "no memory"}, EAGER_F32: {"1": 40.0, "8": float("nan")}}
    found = gains(speed)
    assert found.pop("fp16, batch 1") == pytest.approx(10)
    assert list(found) == ["fp16, batch 8", "bf16, batch 1", "bf16, batch 8"]


def test_an_untrained_network_is_made_to_find_some_hundreds(tmp_path: Path) -> None:
    conditions = Conditions(torch.device("cpu"), tmp_path, tmp_path / "none.pth", rehearsal=True)
    network = stock_network(conditions)
    picture, other = picture_arrays(conditions, network.config.preprocess, ((640, 480), (480, 640)))
    make_talkative(network, *picture)
    for pixels, valid_shape in (picture, other):
        with torch.inference_mode():
            _, scores, _ = Detector(network)(torch.from_numpy(pixels), torch.from_numpy(valid_shape))
        assert 100 < (scores > 0).sum() < 1000


def test_long_names_of_kernels_keep_both_ends() -> None:
    name = "cutlass" + "_x" * 60
    assert shortened("short") == "short"
    assert len(shortened(name)) == 80
    assert shortened(name + "_nhwc") != shortened(name + "_nchw")


def test_the_use_of_a_gpu_is_what_was_seen_while_it_was_watched() -> None:
    assert mean_of_lines("10\n90\n[N/A]\n") == 50
    assert np.isnan(mean_of_lines(""))


def test_cuda_without_a_number_is_the_card_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert with_index(torch.device("cuda")) == torch.device("cuda:1")
    assert with_index(torch.device("cuda:0")) == torch.device("cuda:0")


def test_candidates_of_equal_scores_may_change_places() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 0, 0]], np.float32)
    scores, labels = np.array([0.5, 0.49999, 0], np.float32), np.array([1, 1, 0])
    swapped = boxes[[1, 0, 2]], np.array([0.49999, 0.5, 0], np.float32), labels
    differences, corners = candidate_differences((boxes, scores, labels), swapped)
    assert differences.max() < 2e-5
    np.testing.assert_array_equal(corners, [0, 0])


def test_a_candidate_of_another_score_is_no_counterpart() -> None:
    boxes, labels = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32), np.array([1, 1])
    scores, others = np.array([0.5, 0.4], np.float32), np.array([0.5, 0.3], np.float32)
    differences, corners = candidate_differences((boxes, scores, labels), (boxes, others, labels))
    np.testing.assert_allclose(differences, [0, 0.1], atol=1e-6)
    np.testing.assert_array_equal(corners, [0, np.inf])


def test_tables_hold_what_was_measured() -> None:
    page = to_markdown({"One": {"a": 1.23456, "b": {"x": 1, "y": 2}}, "Two": "failed: no"}, "vfnet bench gpu")
    assert "| a   | 1.235 |" in page
    assert "| b   |   1 |   2 |" in page
    assert "failed: no" in page
