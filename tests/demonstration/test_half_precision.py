"""In half precision the checkpoint is small, loads like any other, and hardly differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from demonstration import half_precision
from demonstration.half_precision import SIZE_LIMIT, write_half_precision

from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_train.errors import FinetuneError


def test_it_is_small_and_loads_as_float32_within_rounding(initial_checkpoint: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.pth"
    write_half_precision(initial_checkpoint, small)
    assert small.stat().st_size <= SIZE_LIMIT < initial_checkpoint.stat().st_size
    full, half = load_checkpoint(initial_checkpoint), load_checkpoint(small)
    assert half.config == full.config
    for name, value in full.state_dict.items():
        assert half.state_dict[name].dtype == value.dtype
        torch.testing.assert_close(half.state_dict[name], value, rtol=2**-11, atol=2**-24)


def test_of_the_metadata_only_what_describes_the_model_is_kept(initial_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(initial_checkpoint, weights_only=True)
    checkpoint["meta"]["work_dir"] = "/home/someone/secret"
    torch.save(checkpoint, tmp_path / "own.pth")
    write_half_precision(tmp_path / "own.pth", tmp_path / "small.pth")
    assert b"someone" not in (tmp_path / "small.pth").read_bytes()


def test_a_network_too_large_for_the_repository_is_refused(
    initial_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_precision, "SIZE_LIMIT", 10**6)
    with pytest.raises(FinetuneError, match="at most 1,000,000 are allowed"):
        write_half_precision(initial_checkpoint, tmp_path / "small.pth")
    assert not list(tmp_path.iterdir())
