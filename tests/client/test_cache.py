"""Where downloads and compiled networks go."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_client.cache import default_cache_dir


def test_the_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VFNET_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "own"
    monkeypatch.delenv("VFNET_CACHE_DIR")
    assert default_cache_dir() == tmp_path / "xdg" / "vfnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "vfnet"
