"""Folders copied with the modes that the umask gives, and not those of their source, as `shutil.copytree` does."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


def copy_folder(source: Path, target: Path, without: Collection[str] = ("__pycache__",)) -> None:
    """Copy all but hidden files and what has one of these names, at any depth. Raises OSError."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name.startswith(".") or path.name in without:
            continue
        if path.is_dir():
            copy_folder(path, target / path.name, without)
        else:
            shutil.copyfile(path, target / path.name)
