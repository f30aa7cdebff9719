"""A checkpoint written anew: as safetensors, or as MMDetection 2.x's own format, with what `load_checkpoint` needs."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from vfnet_client.atomic_files import durable_file
from vfnet_model.checkpoints.config_writing import MMDET_VERSION, write_model_config
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import Checkpoint
from vfnet_tiling.parameters import parameters_of

SAFETENSORS, PTH = ".safetensors", ".pth"
METADATA_CONFIG, METADATA_CLASSES, METADATA_UNTRAINED, METADATA_TILING = "config", "classes", "untrained", "tiling"
"""Of a safetensors file's metadata: mmdet's config as text; the class names in label order as JSON; `true`; and as
JSON what `vfnet_tiling.parameters.parameters_of` says of the tiles that it was trained in."""


def check_output(path: Path) -> None:
    """Raise CheckpointError: its name does not say what it is to be, or there is no such folder."""
    if path.suffix.lower() not in (SAFETENSORS, PTH):
        raise CheckpointError(f"{path}: the name of the output ends with {SAFETENSORS} or {PTH}")
    if not path.absolute().parent.is_dir():
        raise CheckpointError(f"cannot write {path}: there is no such folder")


def write_checkpoint_file(checkpoint: Checkpoint, path: Path) -> None:
    """Write weights, config and class names, whole or not at all. What the name ends with says how.

    Raises:
        CheckpointError: see `check_output`.
    """
    check_output(path)
    config = write_model_config(checkpoint.config)
    if path.suffix.lower() == SAFETENSORS:
        content = _safetensors(checkpoint, config)
    else:
        meta: dict[str, Any] = {
            "mmdet_version": MMDET_VERSION,
            "config": config,
            "CLASSES": checkpoint.config.classes,
        } | ({"untrained": True} if checkpoint.untrained else {})
        if checkpoint.tiling is not None:
            meta["tiling"] = parameters_of(checkpoint.tiling)
        buffer = io.BytesIO()
        torch.save({"meta": meta, "state_dict": OrderedDict(checkpoint.state_dict)}, buffer)
        content = buffer.getvalue()
    with durable_file(path) as file:
        file.write(content)


def _safetensors(checkpoint: Checkpoint, config: str) -> bytes:
    from safetensors.torch import save

    metadata = {
        "format": "pt",
        METADATA_CONFIG: config,
        METADATA_CLASSES: json.dumps(list(checkpoint.config.classes), ensure_ascii=False),
    } | ({METADATA_UNTRAINED: "true"} if checkpoint.untrained else {})
    if checkpoint.tiling is not None:
        metadata[METADATA_TILING] = json.dumps(parameters_of(checkpoint.tiling))
    content: bytes = save({key: value.contiguous() for key, value in checkpoint.state_dict.items()}, metadata)
    return content
