"""`open_checkpoint` takes what a person types."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_model.checkpoints.stock import DEFAULT_STOCK

from .conftest import FileServer


def test_a_file_is_read_where_it_is(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save()
    assert open_checkpoint(str(path), cache_dir=tmp_path / "cache").path == path
    assert not (tmp_path / "cache").exists()


def test_a_url_is_fetched_into_the_cache(save: Callable[..., Path], server: FileServer, tmp_path: Path) -> None:
    server.content = save().read_bytes()
    cache = tmp_path / "cache"
    name = f"mine-{hashlib.sha256(server.content).hexdigest()[:8]}.pth"
    checkpoint = open_checkpoint(f"{server.url}/{name}", cache_dir=cache, progress=False, classes=list("abcd"))
    assert checkpoint.path == cache / "checkpoints" / name
    assert checkpoint.config.classes == ("a", "b", "c", "d")


def test_the_demo_needs_neither_network_nor_cache(tmp_path: Path) -> None:
    checkpoint = open_checkpoint("demo", cache_dir=tmp_path / "cache")
    assert checkpoint.config.classes == DEMO_CLASSES
    assert not (tmp_path / "cache").exists()


def test_coco_is_the_published_file_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):  # nobody listens: no test reaches for the real host
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("vfnet_model.checkpoints.download.ATTEMPTS", 1)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint("coco", cache_dir=tmp_path, progress=False)
    message = str(caught.value)
    assert message.startswith(DEFAULT_STOCK.url)
    assert "That host is often down" in message
    assert f"exact name, {DEFAULT_STOCK.file_name}" in message


@pytest.mark.parametrize("spec", ["missing.pth", "s3://bucket/model.pth", ""])
def test_what_cannot_be_resolved_is_answered_with_the_choices(spec: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"file, an http\(s\) URL, `coco` or `demo`|is a directory"):
        open_checkpoint(spec, cache_dir=tmp_path)
