"""`vfnet bench-gpu`, rehearsed on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vfnet_build.gpu_benchmark.accuracy import candidate_differences
from vfnet_build.gpu_benchmark.report import to_markdown
from vfnet_build.gpu_benchmark.speed import fractions_of_floor


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfnet_client", "bench-gpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    finished = bench()
    assert finished.returncode == 1
    assert "no GPU here; --rehearse" in finished.stderr


def test_the_rehearsal_measures_and_writes(tmp_path: Path) -> None:
    figures, page = tmp_path / "gpu.json", tmp_path / "gpu.md"
    # "served" too can be rehearsed, and takes a server's start.
    sections = ("ceilings", "speed", "floor", "kernels", "start-up")
    finished = bench("--rehearse", f"--json={figures}", f"--markdown={page}", "--only", *sections)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(figures.read_text())
    contestants = ("engine fp16", "engine bf16", "engine f32", "eager f32, TF32 off", "eager fp16")
    assert tuple(found["Milliseconds an image"]) == contestants
    assert all(times.keys() == {"1", "2"} for times in found["Milliseconds an image"].values())
    kernels = found["Where the time goes, in ms an image, fp16"]
    assert kernels.pop("all others") >= 0
    assert list(kernels.values()) == sorted(kernels.values(), reverse=True)
    assert any("conv" in kernel for kernel in kernels)
    assert found["Start-up and memory"]["warm"]["load seconds"] > 0
    assert "| engine fp16 |" in page.read_text()


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
    page = to_markdown({"One": {"a": 1.23456, "b": {"x": 1, "y": 2}}, "Two": "failed: no"}, "vfnet bench-gpu")
    assert "| a | 1.235 |" in page
    assert "| b | 1 | 2 |" in page
    assert "failed: no" in page
