"""MMDetection's worker where it cannot run; that it runs is shown by `vfnet bench` itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.mmdet_process import mmdet_process


def start(tmp_path: Path, meta: dict[str, str]) -> None:
    checkpoint = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": {}, "meta": meta}, checkpoint)
    with mmdet_process(Path(sys.executable), checkpoint, ("detect",), 1, tmp_path):
        pass


def test_an_environment_without_mmdet_is_told_by_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="No module named 'mmcv'"):
        start(tmp_path, {"config": "model = dict(type='VFNet')"})


def test_a_checkpoint_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="holds no config"):
        start(tmp_path, {})
