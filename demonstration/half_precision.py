"""Makes a checkpoint small enough to be kept beside code."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from vfnet_model.checkpoints.torch_file import open_torch_file
from vfnet_train.errors import FinetuneError
from vfnet_train.training_state import save_durably

SIZE_LIMIT = 25 * 10**6
"""Bytes."""
_KEPT = ("mmdet_version", "config", "CLASSES", "epoch", "iter", "untrained")


def write_half_precision(source: Path, target: Path) -> None:
    """Store the filters of a checkpoint as float16, everything else as it is.

    Normalisations and biases stay float32: they are few, and running variances leave float16's range. Of `meta` only
    what describes the model is kept.

    Raises:
        FinetuneError: the result would be larger than `SIZE_LIMIT`.
    """
    with open_torch_file(source) as file:
        checkpoint = file.payload
        kept = {name: file.tensor(record) for name, record in checkpoint["state_dict"].items()}
    weights = OrderedDict((name, value.half() if value.ndim > 1 else value) for name, value in kept.items())
    size = sum(value.numel() * value.element_size() for value in weights.values())
    if size > SIZE_LIMIT:
        raise FinetuneError(f"{source} takes {size:,} bytes in half precision; at most {SIZE_LIMIT:,} are allowed")
    meta = {name: value for name, value in checkpoint["meta"].items() if name in _KEPT}
    save_durably(target, {"meta": meta, "state_dict": weights})
