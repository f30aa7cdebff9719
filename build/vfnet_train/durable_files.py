"""Large files that are there whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

_PART = ".part"


def save_durably(path: Path, content: Mapping[str, object]) -> None:
    """`torch.save` beside, flushed to the disk, then renamed: the old file or the new one, never half of it."""
    part = path.with_name(f".{path.name}{_PART}")
    with part.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _flush_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """What a killed `save_durably` left."""
    for part in folder.glob(f".*{_PART}"):
        part.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
