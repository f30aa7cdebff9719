"""Where this user's downloads and compiled networks are kept."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """`$VFNET_CACHE_DIR`, else `$XDG_CACHE_HOME/vfnet`, else `~/.cache/vfnet`."""
    if chosen := os.environ.get("VFNET_CACHE_DIR"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "vfnet"
