"""VFNet -> what the `torch` configuration loads: weights and settings.

The network's code travels as it is, in the runtime, not as a TorchScript or torch.export file: those freeze the
operations of the machine that wrote them, while here the CPU, a GPU, and a GPU with our own kernels compute the same
modules in different ways.
"""

from __future__ import annotations

from pathlib import Path

from vfnet_build.engine_names import ENGINE_PRECISIONS
from vfnet_runtime.architecture.network_file import write_network
from vfnet_runtime.architecture.vfnet import VFNet

PRECISIONS = ENGINE_PRECISIONS["torch"]


def export(network: VFNet, directory: Path) -> None:
    """Write `network.pt` into `directory`."""
    write_network(network, directory / "network.pt")
