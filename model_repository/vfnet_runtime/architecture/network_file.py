"""A VFNet as one file: its settings and weights, for engines that run the torch module itself."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch

from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet


def write_network(network: VFNet, path: Path) -> None:
    """Write settings and weights (as they are, float32) to `path`."""
    torch.save({"config": asdict(network.config), "state_dict": network.state_dict()}, path)


def read_network(path: Path) -> VFNet:
    """The network that `write_network` wrote, in evaluation mode, on the CPU. Nothing in the file is executed."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    network = VFNet(_record(VFNetConfig, content["config"]))
    network.load_state_dict(content["state_dict"], strict=True)
    return network.eval()


def _record(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass from the dict that `asdict` made of it."""
    types = get_type_hints(kind)
    nested = {field.name for field in fields(kind) if is_dataclass(types[field.name])}
    return kind(**{name: _record(types[name], value) if name in nested else value for name, value in values.items()})
