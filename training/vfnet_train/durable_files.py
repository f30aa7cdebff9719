"""Large files that are there whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from vfnet_client.atomic_files import durable_file
from vfnet_model import full_disk


def save_durably(path: Path, content: Mapping[str, object]) -> None:
    """`torch.save` beside, flushed to the disk, then renamed: the old file or the new one, never half of it."""
    with full_disk.told_as_oserror(path.parent), durable_file(path) as file:
        torch.save(dict(content), file)
